"""Shoeboxes as ragged arrays: flat pixels, offsets and bounding boxes."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from spindle.errors import ShapeError


@numba.njit(nogil=True, cache=True)
def _gather_bytes(source, starts, lengths, out):
    position = 0
    for i in range(starts.shape[0]):
        for j in range(starts[i], starts[i] + lengths[i]):
            out[position] = source[j]
            position += 1


@dataclass(slots=True)
class Shoeboxes:
    """Pixels around n reflections.

    Attributes
    ----------
    panel : (n,) int64
    bbox : (n, 6) int32
        x0, x1, y0, y1, z0, z1, half open.
    offsets : (n + 1,) int64
        Reflection i owns pixels offsets[i]:offsets[i + 1], in order z, y, x; none when it has no pixels.
    data : (m,) float32
    mask : (m,) uint8
        Bits of `MaskCode`.
    background : (m,) float32
    """

    panel: np.ndarray
    bbox: np.ndarray
    offsets: np.ndarray
    data: np.ndarray
    mask: np.ndarray
    background: np.ndarray

    def __post_init__(self) -> None:
        n = len(self.panel)
        if self.bbox.shape != (n, 6) or self.offsets.shape != (n + 1,):
            raise ShapeError(f"shoeboxes: {n} panels, bbox {self.bbox.shape}, offsets {self.offsets.shape}")
        if not len(self.data) == len(self.mask) == len(self.background) == (self.offsets[-1] if n else 0):
            raise ShapeError("shoeboxes: data, mask, background and offsets disagree in length")

    def __len__(self) -> int:
        return len(self.panel)

    @property
    def nbytes(self) -> int:
        """Memory of all arrays in bytes."""
        return sum(a.nbytes for a in (self.panel, self.bbox, self.offsets, self.data, self.mask, self.background))

    @classmethod
    def empty(cls, panel: np.ndarray, bbox: np.ndarray) -> Shoeboxes:
        """Zero-filled shoeboxes for bounding boxes (n, 6)."""
        bbox = np.ascontiguousarray(bbox, dtype=np.int32)
        size = np.prod(np.diff(bbox.astype(np.int64).reshape(-1, 3, 2), axis=2)[..., 0], axis=1)
        offsets = np.concatenate([[0], np.cumsum(size)]).astype(np.int64)
        m = int(offsets[-1])
        return cls(
            np.ascontiguousarray(panel, dtype=np.int64), bbox, offsets, np.zeros(m, np.float32), np.zeros(m, np.uint8),
            np.zeros(m, np.float32),
        )  # fmt: skip

    def pixels(self, i: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Views (nz, ny, nx) of data, mask and background of one reflection."""
        x0, x1, y0, y1, z0, z1 = (int(v) for v in self.bbox[i])
        part = slice(int(self.offsets[i]), int(self.offsets[i + 1]))
        shape = (z1 - z0, y1 - y0, x1 - x0) if part.stop > part.start else (0, 0, 0)
        return self.data[part].reshape(shape), self.mask[part].reshape(shape), self.background[part].reshape(shape)

    def part(self, start: int, stop: int) -> Shoeboxes:
        """The shoeboxes of consecutive rows; memory is shared."""
        first, last = int(self.offsets[start]), int(self.offsets[stop])
        return Shoeboxes(
            self.panel[start:stop], self.bbox[start:stop], self.offsets[start : stop + 1] - first, self.data[first:last],
            self.mask[first:last], self.background[first:last],
        )  # fmt: skip

    def select(self, indices: np.ndarray) -> Shoeboxes:
        """The shoeboxes of some rows (mask or indices), copied."""
        indices = np.asarray(indices)
        if indices.dtype == np.bool_:
            indices = np.flatnonzero(indices)
        indices = np.arange(len(self))[indices]  # counted from the end, and refused beyond it, as numpy does
        starts = self.offsets[indices]
        lengths = self.offsets[indices + 1] - starts
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        arrays = []
        for source in (self.data, self.mask, self.background):
            out = np.empty(int(offsets[-1]), dtype=source.dtype)
            _gather_bytes(source, starts, lengths, out)
            arrays.append(out)
        return Shoeboxes(self.panel[indices], np.ascontiguousarray(self.bbox[indices]), offsets, *arrays)

    @staticmethod
    def concatenate(parts: list[Shoeboxes]) -> Shoeboxes:
        """All shoeboxes of several blocks, in order."""
        shift = np.cumsum([0] + [int(p.offsets[-1]) for p in parts])
        offsets = np.concatenate([[0]] + [p.offsets[1:] + s for p, s in zip(parts, shift, strict=False)]).astype(
            np.int64
        )
        return Shoeboxes(
            np.concatenate([p.panel for p in parts]), np.concatenate([p.bbox for p in parts]), offsets,
            np.concatenate([p.data for p in parts]), np.concatenate([p.mask for p in parts]),
            np.concatenate([p.background for p in parts]),
        )  # fmt: skip
