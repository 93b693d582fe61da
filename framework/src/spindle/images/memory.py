"""Images that are in memory and in no file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spindle.contracts.format import ImageModels, ImageReader
from spindle.errors import ShapeError
from spindle.models import Detector, Experiment

Panels = tuple[np.ndarray, ...]


class ArrayReader(ImageReader):
    """Arrays as if they had been read.

    Parameters
    ----------
    experiment : Experiment
        Whose image set has the arrays.
    """

    path = Path("memory")
    format = "memory"

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        assert experiment.imageset is not None and experiment.imageset.arrays is not None
        self.arrays = experiment.imageset.arrays

    @property
    def n_images(self) -> int:
        """Number of images."""
        return len(self.arrays)

    def models(self, index: int = 0) -> ImageModels:
        """Those of the experiment."""
        e = self.experiment
        return ImageModels(e.beam, e.detector, e.goniometer, e.scan)

    def read(self, index: int = 0, out: list[np.ndarray] | None = None) -> list[np.ndarray]:
        """A copy of the pixels; see `ImageReader.read`."""
        if not 0 <= index < len(self.arrays):
            raise IndexError(f"there are {len(self.arrays)} images in memory; image {index} was asked for")
        panels = self.arrays[index]
        if (
            out is None
            or any(a.shape != b.shape or a.dtype != b.dtype for a, b in zip(out, panels, strict=False))
            or len(out) != len(panels)
        ):
            return [panel.copy() for panel in panels]
        for kept, panel in zip(out, panels, strict=True):
            np.copyto(kept, panel)
        return out


def panels_of(arrays: Sequence[np.ndarray] | Sequence[Sequence[np.ndarray]], detector: Detector) -> tuple[Panels, ...]:
    """Images as they are kept: int32 or float32, C order, one array for each panel.

    Parameters
    ----------
    arrays : sequence of (slow, fast) arrays, or of sequences of them
        Of each image the pixels, panel by panel where there are several.
    detector : Detector

    Raises
    ------
    ShapeError
        If a panel has another size, or an image another number of panels, than the detector, or integers do not fit 32 bits.
    """
    found = []
    for i, image in enumerate(arrays):
        panels = [image] if isinstance(image, np.ndarray) and image.ndim == 2 else list(image)
        if len(panels) != len(detector):
            raise ShapeError(f"image {i} has {len(panels)} panels, the detector {len(detector)}")
        for p, (pixels, panel) in enumerate(zip(panels, detector, strict=True)):
            fast, slow = panel.image_size
            if np.shape(pixels) != (slow, fast):
                raise ShapeError(
                    f"panel {p} of image {i} is {np.shape(pixels)}, the detector says {(slow, fast)} (slow, fast)"
                )
        found.append(tuple(_as_read(np.asarray(pixels), i) for pixels in panels))
    return tuple(found)


def _as_read(pixels: np.ndarray, index: int) -> np.ndarray:
    if pixels.dtype.kind == "f":
        return np.ascontiguousarray(pixels, np.float32)
    if pixels.dtype.kind not in "iub":
        raise ShapeError(f"image {index} is of {pixels.dtype}; integers or floating numbers expected")
    limits = np.iinfo(np.int32)
    if pixels.size and not (limits.min <= pixels.min() and pixels.max() <= limits.max):
        raise ShapeError(f"image {index} has values up to {pixels.max()}, which do not fit 32 bits")
    return np.ascontiguousarray(pixels, np.int32)
