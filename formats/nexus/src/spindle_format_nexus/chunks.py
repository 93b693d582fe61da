"""Where the chunks of a dataset lie in its frames, and how many bytes they take in the file."""

from __future__ import annotations

import threading
from typing import Any

import h5py
import numpy as np

__all__ = ["ChunkSizes", "Tile", "tiles_of"]


class ChunkSizes:
    """Sizes of the chunks of a dataset with one frame, or less, in each.

    They are asked for all at once: HDF5 goes through all chunks of a dataset to tell of one.

    Parameters
    ----------
    dataset : Dataset
    per_frame : int
        Chunks of a frame.
    """

    def __init__(self, dataset: h5py.Dataset, per_frame: int) -> None:
        self._dataset = dataset
        self._per_frame = per_frame
        self._lock = threading.Lock()
        self._known = np.zeros((0, per_frame, 2), np.int64)

    def of(self, frame: int, number: int) -> tuple[int, int]:
        """Bytes of a chunk in the file, 0 when it was never written, and the mask of filters left out for it."""
        known = self._known
        if frame >= len(known) or not known[frame, number, 0]:
            with self._lock:
                if known is self._known:
                    self._known = self._ask()
            known = self._known
        if frame >= len(known):
            return 0, 0
        size, left_out = known[frame, number]
        return int(size), int(left_out)

    def _ask(self) -> np.ndarray:
        if self._dataset.file.swmr_mode:  # what HDF5 remembers of the chunks is older than the shape
            self._dataset.refresh()
        grid = [-(-n // c) for n, c in zip(self._dataset.shape[1:], self._dataset.chunks[1:], strict=True)]
        steps = np.cumprod([1, *grid[:0:-1]])[::-1].tolist()
        edges = self._dataset.chunks[1:]
        known = np.zeros((self._dataset.shape[0], self._per_frame, 2), np.int64)

        def note(info: Any) -> None:
            frame, *start = info.chunk_offset
            if frame < len(known):
                number = sum(s // c * k for s, c, k in zip(start, edges, steps, strict=True))
                known[frame, number] = info.size, info.filter_mask

        self._dataset.id.chunk_iter(note)
        return known


Tile = tuple[tuple[int, ...], tuple[int, ...], tuple[int, int] | None]


def tiles_of(chunk: tuple[int, ...], shape: tuple[int, ...]) -> list[Tile]:
    """Of each chunk of a frame: where it starts, how much of it is used, and its place in the flattened image."""
    tiles = []
    for number in np.ndindex(*(-(-n // c) for n, c in zip(shape, chunk, strict=True))):
        start = tuple(i * c for i, c in zip(number, chunk, strict=True))
        used = tuple(min(c, n - s) for c, n, s in zip(chunk, shape, start, strict=True))
        tiles.append((start, used, _flat_range(start, used, chunk, shape)))
    return tiles


def _flat_range(
    start: tuple[int, ...], used: tuple[int, ...], chunk: tuple[int, ...], shape: tuple[int, ...]
) -> tuple[int, int] | None:
    """Where a chunk lies in the flattened image, when it lies there in one piece."""
    if used != chunk:
        return None
    is_open = True  # axes so far are of length one
    for axis in range(len(shape)):
        if not is_open and chunk[axis] != shape[axis]:
            return None
        if chunk[axis] != 1:
            is_open = False
    first = int(np.ravel_multi_index(start, shape))
    return first, first + int(np.prod(chunk))
