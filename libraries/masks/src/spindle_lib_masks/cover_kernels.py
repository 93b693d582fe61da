"""Kernel that takes spots away from the good pixels of an image."""

from __future__ import annotations

import numba

__all__ = ["cover"]


@numba.njit(nogil=True, cache=True)
def cover(z, bbox, offsets, inside, margin, free):
    """Take the foregrounds of spots on an image away from the free pixels of a panel.

    Parameters
    ----------
    z : int
        Array index of the image.
    bbox : (n, 6) int32
    offsets : (n + 1,) int64; inside : (...) uint8
        See `spindle.contracts.profile.ForegroundMasks`: one mask for all images of a box, or one for each.
    margin : int
        Images before and after its box on which a spot counts like on its nearest image.
    free : (slow, fast) bool
        Set to False.
    """
    height, width = free.shape
    for r in range(bbox.shape[0]):
        if z < bbox[r, 4] - margin or z >= bbox[r, 5] + margin:
            continue
        nx, ny = bbox[r, 1] - bbox[r, 0], bbox[r, 3] - bbox[r, 2]
        first = offsets[r]
        if offsets[r + 1] - first != nx * ny:
            first += (min(max(z, bbox[r, 4]), bbox[r, 5] - 1) - bbox[r, 4]) * nx * ny
        x0, x1 = max(bbox[r, 0], 0), min(bbox[r, 1], width)
        if x1 <= x0:
            continue
        for y in range(max(bbox[r, 2], 0), min(bbox[r, 3], height)):
            row = first + (y - bbox[r, 2]) * nx - bbox[r, 0]
            mine, left = inside[row + x0 : row + x1], free[y, x0:x1]
            for k in range(left.shape[0]):
                left[k] = left[k] & (mine[k] == 0)
