"""Files that hold images one after the other, any of which is read without the others."""

from __future__ import annotations

import threading
from abc import abstractmethod
from dataclasses import replace
from pathlib import Path

import numpy as np

from spindle.contracts.format import FormatOptions, ImageModels
from spindle.errors import HeaderError
from spindle.images import map_file
from spindle.models import Scan

from .single import HeaderReader, fill

__all__ = ["StackReader", "still"]


def still(angle_deg: float = 0.0, exposure_time: float = 0.0, epoch: float = 0.0, width_deg: float = 0.0) -> Scan:
    """Scan of a single image: angle and width in degrees, exposure time in s, epoch in s since 1970."""
    return Scan((1, 1), (angle_deg, width_deg), np.array([exposure_time]), np.array([epoch]))


class StackReader(HeaderReader):
    """A file with images one after the other; a format adds `n_images`, `make_models`, `scan` and `frame`.

    Parameters
    ----------
    path, head, options
        As for `HeaderReader`.
    """

    def __init__(self, path: Path, head: bytes = b"", options: FormatOptions | None = None) -> None:
        super().__init__(path, head, options)
        self._lock = threading.Lock()
        self._content: np.ndarray | None = None

    @property
    def content(self) -> np.ndarray:
        """(n_bytes,) int8: the file, mapped; see `map_file`."""
        with self._lock:
            if self._content is None:
                self._content = map_file(self.path)
            return self._content

    def reach(self, end: int, shape: tuple[int, int]) -> None:
        """Raise a `HeaderError` when the file has fewer than `end` bytes, which hold (slow, fast) pixels."""
        if self.content.size < end:
            raise self.cut_short(self.content.size, end, shape)

    def whole_images(self, path: Path, size: int, start: int, pitch: int, shape: tuple[int, int]) -> int:
        """Number of images of a file whose header does not tell it.

        Parameters
        ----------
        path : Path
        size, start, pitch : int, bytes
            Of the file, before the first image, and from one image to the next.
        shape : (slow, fast)

        Raises
        ------
        HeaderError
            If the file holds no image or ends within one.
        """
        count, rest = divmod(size - start, pitch)
        if rest or count < 1:
            count = max(count, 0)
            end = start + count * pitch
            raise HeaderError(
                path,
                "end of the file",
                f"whole images of {shape[1]} x {shape[0]} pixels, so {end + pitch} bytes after {count} of them",
                f"{size} bytes",
                "the file is cut short: copy it again, or drop what follows the last whole image in a copy: truncate -s "
                f"{end}",
            )
        return count

    @abstractmethod
    def frame(self, index: int) -> list[np.ndarray]:
        """Pixels of each panel of an image, (slow, fast), of any integer or floating type."""

    def scan(self, index: int) -> Scan:
        """Scan of one image; a still unless the format knows better."""
        return still()

    def models(self, index: int = 0) -> ImageModels:
        """Models of an image; see `ImageReader.models`."""
        self._check(index)
        return replace(self._models, scan=self.scan(index))

    def read(self, index: int = 0, out: list[np.ndarray] | None = None) -> list[np.ndarray]:
        """Pixels; see `ImageReader.read`."""
        self._check(index)
        return fill(self.frame(index), out)
