"""Loops over the boxes of spots."""

from __future__ import annotations

from numba import njit


@njit(nogil=True, cache=True)
def _meet(bbox, a, b):
    """Whether two boxes have a pixel in common."""
    return (
        bbox[a, 0] < bbox[b, 1]
        and bbox[b, 0] < bbox[a, 1]
        and bbox[a, 2] < bbox[b, 3]
        and bbox[b, 2] < bbox[a, 3]
        and bbox[a, 4] < bbox[b, 5]
        and bbox[b, 4] < bbox[a, 5]
    )


@njit(nogil=True, cache=True)
def overlapping_boxes(row, first, last, place, bbox, overlaps):
    """Mark spots whose boxes overlap.

    Parameters
    ----------
    row : (m,) int64
        Spots by place, then by first image; a spot is at several places.
    first, last : int
        Which of those are compared with those after them.
    place : (m,) int64
        Boxes without a place in common are not compared.
    bbox : (n, 6) int64
        x0, x1, y0, y1, z0, z1, half open.
    overlaps : (n,) bool
        Output.
    """
    for i in range(first, min(last, len(row))):
        a = row[i]
        for j in range(i + 1, len(row)):
            b = row[j]
            if place[j] != place[i] or bbox[b, 4] >= bbox[a, 5]:
                break
            if _meet(bbox, a, b):
                overlaps[a] = True
                overlaps[b] = True


@njit(nogil=True, cache=True)
def overlapping_large(rows, group, bbox, overlaps):
    """Mark spots whose boxes overlap with some large ones.

    Parameters
    ----------
    rows : (k,) int64
        The large ones, which are compared with all.
    group : (n,) int64
        Boxes of different groups (sweep and panel) never overlap.
    bbox, overlaps
        As for `overlapping_boxes`.
    """
    for a in rows:
        for b in range(len(group)):
            if b != a and group[b] == group[a] and _meet(bbox, a, b):
                overlaps[a] = True
                overlaps[b] = True
