"""The image sets that are open in the viewer, and their images as pictures of all panels."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from spindle.images import ImageSequence, trusted_mask
from spindle.models import Experiment, Experiments, ImageSet
from spindle_lib_pictures.canvas import Canvas
from spindle_lib_pictures.display import Display
from spindle_lib_reciprocal_view.volumes import is_section, section_of

from .kernels import add_image

__all__ = ["ImageSets", "OpenSet", "Picture"]

#: Bytes of decoded pictures that are kept: what the page has seen it keeps itself, in the form in which it is painted.
KEPT_BYTES = 60_000_000
# Images whose memory is used again: as many as are read at once on most machines.
_SPARE = 2


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Picture:
    """One image, or a sum of several, as one picture of all panels.

    Attributes
    ----------
    values : (rows, columns) int32 or float32
    low, high : float
        Trusted range of `values`.
    panels : list of (slow, fast) arrays, or None
        The values panel by panel, for pictures in which pixels are turned or tilted.
    """

    values: np.ndarray
    low: float
    high: float
    panels: list[np.ndarray] | None = None


@dataclass(eq=False)
class OpenSet:
    """Images that belong together: those of a sweep, or stills that share their models.

    Attributes
    ----------
    members : list of int
        Experiments, counted over all that are open.
    frames : list of (ImageSequence, int)
        Of each image its sequence and its index in it.
    projection, padding
        As for `spindle_lib_pictures.canvas.Canvas`.
    extra : list of (slow, fast) bool, or None
        Mask of the rules of the page.
    mask_file : (str, list of (slow, fast) bool), or None
        Name and content of a mask file of the command line.
    rules : MaskingParams or None
        What `extra` was made from.
    has_geometry : bool
        False where the file says nothing of it, and what the models say is assumed.
    """

    members: list[int]
    frames: list[tuple[ImageSequence, int]]
    projection: str = "image"
    padding: int = 4
    extra: list[np.ndarray] | None = None
    mask_file: tuple[str, list[np.ndarray]] | None = None
    rules: Any = None
    has_geometry: bool = True

    @property
    def experiment(self) -> Experiment:
        """The first of its experiments."""
        return self.frames[0][0].experiment

    @cached_property
    def name(self) -> str:
        """What the images are called: their template, or their first file."""
        imageset = self.frames[0][0].imageset
        return imageset.template or self.frames[0][0].file_of(self.frames[0][1])[0]

    def number(self, index: int) -> int:
        """The number of an image, as it is in names of files and in the scan."""
        scan = self.experiment.scan
        is_sweep = scan is not None and self.frames[0][0].imageset.kind == "ImageSequence"
        return (scan.image_range[0] if scan is not None and is_sweep else 1) + index

    @property
    def begin(self) -> int:
        """Index of the image that is seen first: the first, of a volume the section through the origin."""
        return len(self.frames) // 2 if is_section(self.experiment) else 0

    @cached_property
    def is_joined(self) -> bool:
        """Whether its images are scans of their own, whose angles do not follow each other."""
        return len({id(sequence) for sequence, _ in self.frames}) > 1

    def array_index(self, index: int) -> int:
        """Place of an image along the scan, as reflections count it; 0 for stills."""
        sequence, place = self.frames[index]
        scan = sequence.experiment.scan
        return 0 if scan is None or sequence.imageset.kind != "ImageSequence" else int(scan.array_range[0]) + place

    def label(self, index: int) -> str:
        """What an image is called."""
        path, frame = self.frames[index][0].file_of(self.frames[index][1])
        many = self.frames[index][0].reader(self.frames[index][1])[0].n_images > 1
        return f"{Path(path).name}{f' #{frame + 1}' if many else ''}"

    @cached_property
    def canvas(self) -> Canvas:
        """Where the pixels of each panel go."""
        return Canvas(self.experiment.detector, self.experiment.beam, self.projection, self.padding)

    @cached_property
    def trusted(self) -> tuple[float, float]:
        """The trusted range; the widest where panels differ."""
        ranges = [p.trusted_range for p in self.experiment.detector]
        return min(r[0] for r in ranges), max(r[1] for r in ranges)

    @property
    def masks(self) -> list[np.ndarray]:
        """(slow, fast) bool of each panel, True is good: static mask, mask file of the command line, rules of the page."""
        masks = self.frames[0][0].masks
        for more in (None if self.mask_file is None else self.mask_file[1], self.extra):
            if more is not None:
                masks = [a & b for a, b in zip(masks, more, strict=True)]
        return masks

    @cached_property
    def status(self) -> np.ndarray:
        """(rows, columns) uint8: 0 where no panel is, 1 masked, 2 good."""
        return self.canvas([np.where(good, np.uint8(2), np.uint8(1)) for good in self.masks])

    def set_extra(self, masks: list[np.ndarray] | None) -> None:
        """Mask more pixels, or no longer."""
        self.extra = masks
        self.__dict__.pop("status", None)

    @cached_property
    def _rings(self) -> tuple[np.ndarray, float]:
        from .profiles import rings_of

        return rings_of(self)

    @property
    def rings(self) -> np.ndarray:
        """(rows, columns) int32: ring of equal scattering angle of each pixel, -1 where no panel is."""
        return self._rings[0]

    @property
    def ring_scale(self) -> float:
        """Rings for each unit of 2 tan(theta)."""
        return self._rings[1]

    @property
    def is_projected(self) -> bool:
        """Whether pixels of the panels are not pixels of the picture."""
        return self.projection == "lab" and len(self.experiment.detector) > 1

    def panels(self, index: int, out: list[np.ndarray] | None = None) -> list[np.ndarray]:
        """The pixels of one image, panel by panel; in the memory of an earlier answer that nobody needs any more."""
        sequence, place = self.frames[index]
        return sequence.read(place, out)

    def picture_of(self, panels: list[np.ndarray], low: float, high: float) -> Picture:
        """Panels as a picture."""
        return Picture(self.canvas(panels), low, high, panels if self.is_projected else None)


class ImageSets:
    """All that is open; may be used by several threads at once.

    Parameters
    ----------
    projection, padding
        As for `spindle_lib_pictures.canvas.Canvas`.

    Attributes
    ----------
    without_geometry : set of str
        Files whose geometry is assumed.
    """

    def __init__(self, projection: str = "image", padding: int = 4) -> None:
        self.projection, self.padding = projection, padding
        self.experiments: list[Experiment] = []
        self.sets: list[OpenSet] = []
        self.without_geometry: set[str] = set()
        self._kept: OrderedDict[tuple[int, int, int, str], Picture] = OrderedDict()
        self._lock = threading.Lock()
        self._being_read: dict[tuple[int, int, int, str], threading.Lock] = {}
        self._spare: deque[list[np.ndarray]] = deque(maxlen=_SPARE)

    def add(self, experiments: Experiments | Sequence[Experiment]) -> list[int]:
        """Open the images of experiments; return the numbers of their sets."""
        groups: dict[object, OpenSet] = {}
        unchecked: dict[int, ImageSet] = {}
        seen: set[tuple[object, tuple[str, int]]] = set()
        begin = len(self.experiments)
        self.experiments += experiments
        for number, experiment in enumerate(experiments, begin):
            imageset = experiment.imageset
            if imageset is None:
                continue
            # A damaged image is seen as it is; the checksums of whole images cost as much as their decoding.
            if id(imageset) not in unchecked:  # one for all its experiments, which share its open files
                unchecked[id(imageset)] = replace(imageset, params={**imageset.params, "verify_checksum": False})
            sequence = ImageSequence(replace(experiment, imageset=unchecked[id(imageset)]))
            is_sweep = imageset.kind == "ImageSequence"
            models = (id(experiment.detector), id(experiment.beam))
            key: object = id(imageset) if is_sweep else models
            if is_sweep and len(sequence) == 1:  # images whose angles do not follow each other
                key = (imageset.template, *models)
            frames = []
            for index in range(len(sequence)):
                source = (key, sequence.file_of(index))
                if source not in seen:
                    seen.add(source)
                    frames.append((sequence, index))
            if key in groups:
                groups[key].members.append(number)
                groups[key].frames += frames
            else:
                has_geometry = sequence.file_of(0)[0] not in self.without_geometry
                groups[key] = OpenSet([number], frames, self.projection, self.padding, has_geometry=has_geometry)
        first = len(self.sets)
        self.sets += groups.values()
        return list(range(first, len(self.sets)))

    def picture(self, number: int, index: int, n_images: int = 1, mode: str = "sum") -> Picture:
        """An image of a set, or the sum, mean or maximum of `n_images` from it on."""
        key = (number, index, n_images, mode)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            reading = self._being_read.setdefault(key, threading.Lock())
        with reading:  # who asks for the same image waits for it, and need not read it again
            with self._lock:
                if key in self._kept:
                    return self._kept[key]
            try:
                return self._read(key)
            finally:
                with self._lock:
                    self._being_read.pop(key, None)

    def _read(self, key: tuple[int, int, int, str]) -> Picture:
        """Read a picture, and keep it."""
        number, index, n_images, mode = key
        one = self.sets[number]
        low, high = one.trusted
        if n_images == 1:
            panels = one.panels(index, self._take_spare())
            picture = one.picture_of(panels, low, high)
            # Fresh memory costs as much as decoding. It comes back when the last who looks at the picture lets it go.
            weakref.finalize(picture, self._spare.append, panels).atexit = False
        else:
            picture = self._stack(one, index, min(n_images, len(one.frames) - index), mode)
        with self._lock:
            self._kept[key] = picture
            while len(self._kept) > 1 and sum(p.values.nbytes for p in self._kept.values()) > KEPT_BYTES:
                self._kept.popitem(last=False)
        return picture

    def _take_spare(self) -> list[np.ndarray] | None:
        try:
            return self._spare.pop()
        except IndexError:
            return None

    def shown(self, number: int, index: int, n_images: int, mode: str, display: Display | None) -> Picture:
        """As `picture`, or what a threshold sees of it."""
        if display is None or display.what == "image":
            return self.picture(number, index, n_images, mode)
        one = self.sets[number]
        sequence, place = one.frames[index]
        maps = []
        for pixels, static, panel in zip(sequence.read(place), one.masks, one.experiment.detector, strict=True):
            good = trusted_mask(pixels, static, *panel.trusted_range, np.empty(pixels.shape, np.bool_))
            maps.append(np.asarray(display.of(pixels, good), np.float32))
        return one.picture_of(maps, 0.0, max(float(m.max()) for m in maps))

    def _stack(self, one: OpenSet, index: int, n_images: int, mode: str) -> Picture:
        low, high = one.trusted
        begin = -np.inf if mode == "max" else 0.0
        totals = [np.full(p.image_size[::-1], begin, np.float32) for p in one.experiment.detector]
        panels = None
        for i in range(index, index + n_images):
            panels = one.panels(i, panels)
            for values, total in zip(panels, totals, strict=True):
                dtype = np.int32 if values.dtype == np.int32 else np.float32
                add_image(np.ascontiguousarray(values, dtype), float(low), float(high), mode == "max", total)
        if mode == "mean":
            totals = [total / np.float32(n_images) for total in totals]
        factor = n_images if mode == "sum" else 1
        return one.picture_of(
            totals, min(low, low * factor), min(float(high * factor), float(np.finfo(np.float32).max))
        )

    def forget_pictures(self) -> None:
        """Let all decoded pictures go."""
        with self._lock:
            self._kept.clear()
        self._spare.clear()


def scene_of(one: OpenSet) -> dict[str, Any]:
    """What the page has to know of an image set; plain values."""
    experiment = one.experiment
    detector, beam, scan = experiment.detector, experiment.beam, experiment.scan
    hit = detector.beam_centre(beam.s0)
    centre = None
    if hit is not None:
        centre = [hit[0], *detector.mm_to_pixel(hit[0], hit[1])[0].tolist()]
    panels = [
        {
            "name": panel.name,
            "size": list(panel.image_size),
            "place": place.tolist(),
            "d": panel.d.tolist(),
            "pixel": panel.pixel_size.tolist(),
            "trusted": list(panel.trusted_range),
        }
        for panel, place in zip(detector, one.canvas.placements, strict=True)
    ]
    return {
        "name": one.name,
        "n_images": len(one.frames),
        "first": one.number(0),
        "begin": one.begin,
        "rows": one.canvas.shape[0],
        "columns": one.canvas.shape[1],
        "panels": panels,
        "wavelength": beam.wavelength,
        "s0": beam.s0.tolist(),
        "distance": detector[hit[0] if hit else 0].distance,
        "beam_centre": centre,
        "oscillation": None if scan is None or scan.is_still else np.rad2deg(scan.oscillation).tolist(),
        "projection": one.projection,
        "is_projected": one.is_projected,
        "has_geometry": one.has_geometry,
        "experiments": one.members,
        "section": section_of(experiment),
    }
