"""Loops over the boxes of spots."""

from __future__ import annotations

from numba import njit


@njit(nogil=True, cache=True)
def overlapping_boxes(order, first, last, group, bbox, overlaps):
    """Mark spots whose boxes overlap.

    Parameters
    ----------
    order : (n,) int64
        Spots by group, then by first image.
    first, last : int
        Places in `order` of the spots that are compared with those after them.
    group : (n,) int64
        Boxes of different groups (sweep and panel) never overlap.
    bbox : (n, 6) int32
        x0, x1, y0, y1, z0, z1, half open.
    overlaps : (n,) bool
        Output.
    """
    for i in range(first, min(last, len(order))):
        a = order[i]
        for j in range(i + 1, len(order)):
            b = order[j]
            if group[b] != group[a] or bbox[b, 4] >= bbox[a, 5]:
                break
            if (
                bbox[a, 0] < bbox[b, 1]
                and bbox[b, 0] < bbox[a, 1]
                and bbox[a, 2] < bbox[b, 3]
                and bbox[b, 2] < bbox[a, 3]
            ):
                overlaps[a] = True
                overlaps[b] = True
