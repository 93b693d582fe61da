"""Which images are summed, and the pixels of the sum."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spindle.errors import FileFormatError, ModelError
from spindle.images import ImageSequence
from spindle.models import Experiments
from spindle_lib_readers.cbf_writing import write_cbf

from .cbf_header import header_text, is_cbf, merged_header
from .kernels import add_image, finish_sum
from .model_header import model_header

__all__ = ["Group", "Series", "Summer", "make_series"]

_LARGEST = 2**31 - 2


class Group(NamedTuple):
    """Images that are summed: a series, the place of the first in it, and the file."""

    series: Series
    first: int
    path: Path

    def __repr__(self) -> str:
        return f"images of {self.path.name}"


@dataclass(slots=True)
class Series:
    """Images of one sweep, or stills of one file name, in order.

    Attributes
    ----------
    items : list of (ImageSequence, int)
        Image sequence and index in it.
    is_cbf : bool
    """

    items: list[tuple[ImageSequence, int]] = field(default_factory=list)
    is_cbf: bool = False

    def __len__(self) -> int:
        return len(self.items)

    @property
    def name(self) -> str:
        """File name with # for the numbers."""
        images, index = self.items[0]
        return Path(images.imageset.template or images.file_of(index)[0]).name


def make_series(experiments: Experiments) -> list[Series]:
    """Sweeps are series of their own; stills that share an image set are one; no image is taken twice.

    Raises
    ------
    ModelError
        If a detector cannot be laid out flat, or the values of pixels cannot be those of a CBF.
    """
    series: dict[object, Series] = {}
    seen: set[tuple[str, int]] = set()
    for experiment in experiments:
        imageset = experiment.imageset
        if imageset is not None:
            experiment = replace(experiment, imageset=replace(imageset, mask=None))
        images = ImageSequence(experiment)
        key: object = id(imageset)
        if images.n_images > 1 and experiment.scan is not None:
            key = (id(imageset), experiment.scan.image_range)
        for index in range(images.n_images):
            place = images.file_of(index)
            if place not in seen:
                seen.add(place)
                series.setdefault(key, Series()).items.append((images, index))
    for one in series.values():
        images, index = one.items[0]
        one.is_cbf = is_cbf(images.reader(index)[0].path)
        _check(one)
    return list(series.values())


def _check(series: Series) -> None:
    images, index = series.items[0]
    path, detector = images.file_of(index)[0], images.experiment.detector
    if len(detector) > 1:
        corners = {p.raw_image_offset for p in detector}
        if not series.is_cbf or len(corners) < len(detector):
            raise ModelError(
                f"{path}: a detector of {len(detector)} panels that are not parts of one flat CBF image; such images "
                "cannot be summed into a CBF (import with format.multi_panel=False where the format knows it)"
            )


@dataclass
class _Buffers:
    """Memory of one thread."""

    pixels: list[np.ndarray] | None = None
    flat: np.ndarray | None = None
    sums: tuple[np.ndarray, ...] = ()

    def empty_sums(self, shape: tuple[int, int]) -> tuple[np.ndarray, ...]:
        """Arrays `total`, `bad`, `over` of `add_image`, all 0, and one for the result."""
        if not self.sums or self.sums[0].shape != shape:
            self.sums = tuple(np.empty(shape, kind) for kind in (np.int64, np.int32, np.uint8, np.int32))
        for array in self.sums[:3]:
            array[...] = 0
        return self.sums


class Summer:
    """Sums groups of images and writes the files; may be called from several threads at once.

    Parameters
    ----------
    n : int
        Images in a group.
    """

    def __init__(self, n: int) -> None:
        self.n = n
        self._local = threading.local()

    def __reduce__(self) -> tuple[type, tuple[int]]:
        return Summer, (self.n,)

    def __call__(self, group: Group) -> int:
        """Write the sum of a group; return the number of overloaded pixels."""
        items = group.series.items[group.first : group.first + self.n]
        images, index = items[0]
        panel = images.experiment.detector[0]
        first = self._flat(images, index, group.series.is_cbf)
        low, high = panel.trusted_range
        limits = max(math.ceil(low), 0), min(math.floor(high), _LARGEST)
        ceiling = min(self.n * limits[1], _LARGEST)
        total, bad, over, out = self._buffers.empty_sums(first.shape)
        if not group.series.is_cbf:
            bad[~images.mask(0)] = -2  # a CBF file has no other place for what a format declares bad
        for number, (source, at) in enumerate(items):
            add_image(first if number == 0 else self._flat(source, at, group.series.is_cbf), *limits, total, bad, over)
        n_over = int(finish_sum(total, bad, over, ceiling, out))
        name = group.path.stem
        path = images.file_of(index)[0]
        if group.series.is_cbf:
            text = merged_header(header_text(path), self.n, name, path)
        else:
            text = model_header(images.experiment, index, self.n, ceiling, name)
        write_cbf(group.path, text, out)
        return n_over

    @property
    def _buffers(self) -> _Buffers:
        """Memory of this thread."""
        if not hasattr(self._local, "buffers"):
            self._local.buffers = _Buffers()
        buffers: _Buffers = self._local.buffers
        return buffers

    def _flat(self, images: ImageSequence, index: int, is_cbf: bool) -> np.ndarray:
        """Raw pixels of an image as one (slow, fast) int32 array, -1 between the panels; overwritten by the next call."""
        buffers = self._buffers
        buffers.pixels = panels = images.read(index, buffers.pixels)
        if len(panels) == 1:
            path = images.file_of(index)[0]
            pixels = _whole_numbers(panels[0], path)
            if not is_cbf and images.experiment.detector[0].trusted_range[0] < 0 and pixels.min() < 0:
                raise FileFormatError(
                    f"{path}: a count of {pixels.min()} is valid in this format, but negative values of a CBF mean bad "
                    "pixels; such images cannot be summed into a CBF"
                )
            return pixels
        corners = [p.raw_image_offset for p in images.experiment.detector]
        shape = (
            max(y + a.shape[0] for a, (_, y) in zip(panels, corners, strict=True)),
            max(x + a.shape[1] for a, (x, _) in zip(panels, corners, strict=True)),
        )
        if buffers.flat is None or buffers.flat.shape != shape:
            buffers.flat = np.full(shape, -1, np.int32)
        for pixels, (x, y) in zip(panels, corners, strict=True):
            buffers.flat[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
        return buffers.flat


def _whole_numbers(pixels: np.ndarray, path: str) -> np.ndarray:
    """(slow, fast) int32 of pixels that are whole numbers."""
    if pixels.dtype == np.int32:
        return np.ascontiguousarray(pixels)
    whole = np.rint(pixels)
    known = np.isfinite(pixels)
    if not np.array_equal(whole[known], pixels[known]):
        raise FileFormatError(
            f"{path}: the pixels hold fractions, a CBF holds whole numbers; such images cannot be summed into a CBF"
        )
    return np.where(known, np.clip(whole, -2, 2**31 - 1), -2).astype(np.int32)
