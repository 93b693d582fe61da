"""Faults of image formats."""

from __future__ import annotations

from copy import copy
from dataclasses import replace

import numpy as np

from spindle.contracts.format import ImageReader
from spindle.models import Detector, Scan

from ..test_format import TestCbf as Cbf
from . import changed, fault


class Reader(ImageReader):
    """Another reader with faults in what it gives."""

    def __init__(self, inner, models=lambda m: m, panel=None, pixels=lambda p: p):
        self.inner, self.path, self.format = inner, inner.path, inner.format
        self._models, self._panel, self._pixels = models, panel, pixels

    n_images = property(lambda self: self.inner.n_images)

    def models(self, index=0):
        found = self._models(self.inner.models(index))
        if self._panel is None:
            return found
        return replace(found, detector=Detector(tuple(self._panel(p) for p in found.detector)))

    def read(self, index=0, out=None):
        given = self._pixels(self.inner.read(index, out))
        for one, other in zip(given, out or [], strict=False):
            if one.shape == other.shape and one.dtype == other.dtype and one is not other:
                other[...] = one
        return given

    def mask(self):
        return self.inner.mask()


def image_format(kind, title, *checks, missed="", **faulty):
    """A fault of what a reader gives."""

    def make(good):
        return changed(good, "open_image", lambda call, a, plugin: Reader(call(**a), **faulty))

    fault(Cbf, kind, f"format: {title}", *checks, missed=missed)(make)


MODELS, PIXELS = "test_models_are_those_of_the_file", "test_pixels_are_those_of_the_file_the_right_way_up"

image_format("swap", "upside down", PIXELS, pixels=lambda p: [np.ascontiguousarray(a[::-1]) for a in p])
image_format("swap", "mirrored", PIXELS, pixels=lambda p: [np.ascontiguousarray(a[:, ::-1]) for a in p])
image_format(
    "swap", "rows and columns exchanged", PIXELS, pixels=lambda p: [a.reshape(a.shape[::-1]).T.copy() for a in p]
)
image_format("limits", "pixels cut to 15 bits", PIXELS, pixels=lambda p: [np.minimum(a, 32767) for a in p])
image_format("bias", "pedestal of one count", PIXELS, pixels=lambda p: [a + 1 for a in p])
image_format("mask", "small counts set to 0", PIXELS, pixels=lambda p: [np.where(a < 100, 0, a) for a in p])
image_format("units", "distance in metres", MODELS, panel=lambda p: replace(p, origin=p.origin * [1, 1, 1e-3]))
image_format(
    "units",
    "pixel size in metres",
    MODELS,
    panel=lambda p: replace(p, pixel_size=tuple(1e-3 * s for s in p.pixel_size)),
)
image_format(
    "units", "degrees taken for radians", MODELS,
    models=lambda m: replace(m, scan=Scan(m.scan.image_range, tuple(np.degrees(np.degrees(m.scan.oscillation))))),
)  # fmt: skip
image_format(
    "units",
    "nanometres for angstrom",
    MODELS,
    models=lambda m: replace(m, beam=replace(m.beam, wavelength=0.1 * m.beam.wavelength)),
)
image_format(
    "frame", "beam centre to the middle of a pixel", MODELS,
    panel=lambda p: replace(p, origin=p.origin + 0.5 * p.pixel_size[0] * (p.fast_axis + p.slow_axis)),
)  # fmt: skip
image_format(
    "limits", "trusted range of the header ignored", MODELS, panel=lambda p: replace(p, trusted_range=(0.0, 65535.0))
)
image_format(
    "units", "exposure time in milliseconds", MODELS, models=lambda m: replace(m, exposure_time=1000 * m.exposure_time)
)


@fault(Cbf, "state", "format: one buffer for all images", "test_each_image_has_memory_of_its_own")
def _(good):
    kept = {}

    def one(panels):
        return [kept.setdefault(a.shape, a) for a in panels]

    return changed(good, "open_image", lambda call, a, plugin: Reader(call(**a), pixels=one))


@fault(Cbf, "speed", "format: opening reads the whole file", "test_opening_does_not_read_the_pixels")
def _(good):
    def change(call, a, plugin):
        a["path"].read_bytes()
        return call(**a)

    return changed(good, "open_image", change)


@fault(Cbf, "speed", "format: loop of Python over pixels", "test_reading_keeps_within_the_budget")
def _(good):
    def slow(panels):
        for panel in panels:
            for y in range(panel.shape[0]):
                for x in range(panel.shape[1]):
                    for _ in range(200):
                        panel[y, x] = int(panel[y, x])
        return panels

    return changed(good, "open_image", lambda call, a, plugin: Reader(call(**a), pixels=slow))


@fault(Cbf, "silent", "format: judges by the name of the file", "test_does_not_look_at_the_file_name_alone")
def _(good):
    return changed(good, "understand", lambda call, a, plugin: ".cbf" in a["path"].name)


@fault(Cbf, "hardly any", "format: an empty beginning breaks it", "test_refuses_what_it_does_not_know_without_raising")
def _(good):
    return changed(good, "understand", lambda call, a, plugin: a["head"][0] > 0 and call(**a))


@fault(Cbf, "limits", "format: images before the first are the last", "test_images_beyond_the_last_are_refused")
def _(good):
    class Wraps(Reader):
        def read(self, index=0, out=None):
            return super().read(index % self.n_images, out)

    return changed(good, "open_image", lambda call, a, plugin: Wraps(call(**a)))


class Trusting(Reader):
    """A reader that does not compare checksums of images that are prepared together."""

    def prepare(self, others):
        for reader in (self, *others):
            reader.inner = copy(reader.inner)
            reader.inner.options = replace(reader.inner.options, verify_checksum=False)


fault(
    Cbf,
    "several",
    "format: no checksums of images prepared together",
    "test_images_prepared_together_are_read_as_they_are_alone",
)(lambda good: changed(good, "open_image", lambda call, a, plugin: Trusting(call(**a))))
