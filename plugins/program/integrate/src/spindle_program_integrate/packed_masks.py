"""Masks of many detectors at once."""

from __future__ import annotations

import zlib

import numpy as np


class PackedMasks:
    """Masks of the panels of one set of images, compressed to some kilobytes until its images are read.

    Parameters
    ----------
    masks : list of (slow, fast) bool
    """

    def __init__(self, masks: list[np.ndarray]) -> None:
        self._panels = [(np.shape(m), zlib.compress(np.packbits(m).tobytes(), 1)) for m in masks]

    def unpacked(self) -> list[np.ndarray]:
        """The masks, in memory of their own."""
        return [
            np.unpackbits(np.frombuffer(zlib.decompress(bits), np.uint8), count=shape[0] * shape[1])
            .reshape(shape)
            .view(np.bool_)
            for shape, bits in self._panels
        ]
