"""Filters that look at many spots or at the surroundings of spots."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numba import njit

from spindle.table import ReflectionTable

from .search import Item, Job

__all__ = ["steep_background", "uncrowded"]


def uncrowded(table: ReflectionTable, bins: int = 50) -> np.ndarray:
    """Whether each spot lies in a part of the detector that is not unusually full of spots.

    Spots are counted in ``bins`` x ``bins`` parts of the detector. The limit is where the cumulative histogram of these
    counts stays flat (two steps below 0.002 in a row); without such a place nothing is dropped.

    Returns
    -------
    (n,) bool
    """
    if not len(table):
        return np.ones(0, np.bool_)
    x, y = table["xyzobs.px.value"][:, 0], table["xyzobs.px.value"][:, 1]
    cells = []
    for v in (x, y):
        span = max(float(v.max() - v.min()), 1e-9)
        cells.append(np.minimum(((v - v.min()) / span * bins).astype(np.int64), bins - 1))
    cell = cells[0] * bins + cells[1]
    counts = np.bincount(cell, minlength=bins * bins)
    slots = max(min(int(counts.max()), 30), 1)
    histogram, edges = np.histogram(counts, bins=slots, range=(0, counts.max() or 1))
    cumulative = np.cumsum(histogram) / histogram.sum()
    steps = np.diff(cumulative)
    flat = np.flatnonzero((steps[:-1] < 0.002) & (steps[1:] < 0.002))
    if not len(flat):
        return np.ones(len(table), np.bool_)
    return np.asarray(counts[cell] <= edges[flat[0] + 1])


@njit(nogil=True, cache=True)
def add_surroundings(image, good, rows, bbox, margin, offsets, total, count):
    """Add the good pixels of one image to the sums over images of the widened boxes of some spots."""
    height, width = image.shape
    for k in range(rows.shape[0]):
        s = rows[k]
        nx = bbox[s, 1] - bbox[s, 0] + 2 * margin
        for y in range(max(0, bbox[s, 2] - margin), min(height, bbox[s, 3] + margin)):
            for x in range(max(0, bbox[s, 0] - margin), min(width, bbox[s, 1] + margin)):
                if good[y, x]:
                    at = offsets[s] + (y - bbox[s, 2] + margin) * nx + (x - bbox[s, 0] + margin)
                    total[at] += image[y, x]
                    count[at] += 1


@njit(nogil=True, cache=True)
def plane_gradients(bbox, margin, buffer, offsets, total, count, gradient):
    """Slopes of the least-squares plane through the frame of each widened box, ``buffer`` pixels around the spot left
    out.
    """
    for s in range(bbox.shape[0]):
        nx = bbox[s, 1] - bbox[s, 0] + 2 * margin
        ny = bbox[s, 3] - bbox[s, 2] + 2 * margin
        depth = bbox[s, 5] - bbox[s, 4]
        inner = margin - buffer
        for second in range(2):
            if second == 0:
                n = 0
                mx = 0.0
                my = 0.0
                mv = 0.0
            else:
                sxx = 0.0
                sxy = 0.0
                syy = 0.0
                sxv = 0.0
                syv = 0.0
            for y in range(ny):
                for x in range(nx):
                    at = offsets[s] + y * nx + x
                    if count[at] < depth:
                        continue
                    if inner <= x < nx - inner and inner <= y < ny - inner:
                        continue
                    if second == 0:
                        n += 1
                        mx += x
                        my += y
                        mv += total[at]
                    else:
                        sxx += (x - mx) * (x - mx)
                        sxy += (x - mx) * (y - my)
                        syy += (y - my) * (y - my)
                        sxv += (x - mx) * (total[at] - mv)
                        syv += (y - my) * (total[at] - mv)
            if second == 0 and n > 0:
                mx /= n
                my /= n
                mv /= n
        determinant = sxx * syy - sxy * sxy
        if n < 3 or determinant <= 0.0:
            gradient[s, 0] = 0.0
            gradient[s, 1] = 0.0
        else:
            gradient[s, 0] = (sxv * syy - syv * sxy) / determinant
            gradient[s, 1] = (syv * sxx - sxv * sxy) / determinant


def steep_background(
    job: Job, table: ReflectionTable, size: int, cutoff: float, read: Any, images: Iterable[Item]
) -> np.ndarray:
    """Whether the background around each spot of one job is steeper than a limit along x or y.

    The images of a spot are summed; a plane is fitted to a frame of ``size`` pixels, one pixel away from the spot's
    box.

    Parameters
    ----------
    job : Job
    table : ReflectionTable
        Spots of this job.
    size : int, pixels
    cutoff : float, counts per pixel
    read : function (function, items) -> results in order
        A map that runs in this process: whole images come back from it.
    images : iterable of Item
        Images to read, as for the search.

    Returns
    -------
    (n,) bool
    """
    from spindle.images import trusted_mask

    margin = size + 1
    bbox, panel = table["bbox"], table["panel"].astype(np.int64)
    extent = (bbox[:, 1] - bbox[:, 0] + 2 * margin).astype(np.int64) * (bbox[:, 3] - bbox[:, 2] + 2 * margin)
    offsets = np.concatenate([[0], np.cumsum(extent)]).astype(np.int64)
    total, count = np.zeros(int(offsets[-1])), np.zeros(int(offsets[-1]), np.int32)

    detector, corrections = job.experiment.detector, job.images.corrections

    def load(item: Item) -> tuple[int, list[tuple[np.ndarray, np.ndarray]]]:
        panels = []
        for p, raw in enumerate(job.images.read(item[1] - job.z0)):
            low, high = detector[p].trusted_range
            image = np.ascontiguousarray(raw)
            good = trusted_mask(image, job.images.masks[p], low, high, np.empty(image.shape, np.bool_))
            panels.append((corrections[p].apply(image, np.empty(image.shape, np.float32)), good))
        return item[1], panels

    for z, pixels in read(load, images):
        present = (bbox[:, 4] <= z) & (z < bbox[:, 5])
        for p, (image, good) in enumerate(pixels):
            rows = np.flatnonzero(present & (panel == p))
            if len(rows):
                add_surroundings(image, good, rows, bbox, margin, offsets, total, count)
    gradient = np.zeros((len(table), 2))
    plane_gradients(bbox, margin, 1, offsets, total, count, gradient)
    return np.asarray((np.abs(gradient) > cutoff).any(axis=1))
