"""Masks of many detectors at once."""

from __future__ import annotations

import zlib
from functools import lru_cache

import numpy as np

_Packed = tuple[tuple[tuple[int, ...], bytes], ...]


class PackedMasks:
    """Masks of the panels of one set of images, compressed to some kilobytes, in which form they travel to tasks.

    Parameters
    ----------
    masks : list of (slow, fast) bool
    """

    def __init__(self, masks: list[np.ndarray]) -> None:
        self._panels: _Packed = tuple((np.shape(m), zlib.compress(np.packbits(m).tobytes(), 1)) for m in masks)

    def unpacked(self) -> list[np.ndarray]:
        """The masks; tasks of a process that follow each other share them, so nobody changes them."""
        return _unpacked(self._panels)


@lru_cache(maxsize=1)
def _unpacked(panels: _Packed) -> list[np.ndarray]:
    return [
        np.unpackbits(np.frombuffer(zlib.decompress(bits), np.uint8), count=shape[0] * shape[1])
        .reshape(shape)
        .view(np.bool_)
        for shape, bits in panels
    ]
