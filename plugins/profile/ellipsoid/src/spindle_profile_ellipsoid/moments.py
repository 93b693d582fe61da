"""What strong spots show, from their pixels."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from .geometry import pixel_steps, points_of, rays_of_pixels
from .kernels import image_counts, spot_moments
from .likelihood import Rocking, Spots

if TYPE_CHECKING:
    from spindle.models import Experiment
    from spindle.table import ReflectionTable, Shoeboxes

__all__ = ["spots_of", "true_points"]

LEAST_COUNTS = 10.0
FLATTEST = 0.02  # what a covariance may be of that of a pixel


def true_points(experiment: Experiment, reflections: ReflectionTable) -> np.ndarray:
    """(n, 3) float64: indices, not rounded, of where spots of a still were observed."""
    xy = reflections["xyzobs.px.value"][:, :2]
    lab = experiment.detector.lab_coordinate_of_pixel(reflections["panel"].astype(np.int64), xy)
    k = 1.0 / experiment.beam.wavelength
    q = lab / np.linalg.norm(lab, axis=1)[:, None] * k - experiment.beam.s0
    return np.asarray(q @ np.linalg.inv(experiment.known_crystal.A).T)


def spots_of(
    experiment: Experiment, reflections: ReflectionTable, boxes: Shoeboxes, whole: bool
) -> tuple[Spots, np.ndarray]:
    """Moments of spots, and the rows that have them.

    Parameters
    ----------
    experiment : Experiment
    reflections : ReflectionTable
        n rows with ``miller_index``, ``panel``, ``s1``, ``xyzcal.px``.
    boxes : Shoeboxes
        Their pixels, with backgrounds.
    whole : bool
        The foreground holds whole spots. Otherwise it holds what stood out of the background when spots were found, and the shapes are
        those of normal distributions that are cut off there.

    Returns
    -------
    Spots
        m of them.
    (m,) int64
        Rows.
    """
    points = points_of(experiment, reflections)
    rays = rays_of_pixels(experiment, points, reflections)
    pixels = (boxes.bbox, boxes.offsets, boxes.data, boxes.mask, boxes.background)
    moments = spot_moments(rays, *pixels)
    total = moments[:, 0]
    good = total > LEAST_COUNTS
    centre = moments[:, 1:3] / np.where(good, total, 1.0)[:, None]
    second = moments[:, [3, 4, 4, 5]].reshape(-1, 2, 2) / np.where(good, total, 1.0)[:, None, None]
    shape = second - centre[:, :, None] * centre[:, None, :]
    steps = pixel_steps(rays, reflections["xyzcal.px"][:, :2])
    pixel = steps @ steps.transpose(0, 2, 1) / 12.0
    if not whole:
        shape = shape / _cut_off(moments, shape, steps)[:, None, None]
    # a spot in a pixel has no shape: what is left is that of the pixel
    trace = np.einsum("nii->n", shape) / np.einsum("nii->n", pixel)
    good &= np.isfinite(trace) & (trace > FLATTEST)
    rows = np.flatnonzero(good)
    spots = Spots(points.select(rows), total[rows], centre[rows], shape[rows], pixel[rows])
    if points.turning.any():
        spots = replace(spots, rocking=_rocking(experiment, reflections, boxes, rows))
    return spots, rows


def _cut_off(moments: np.ndarray, shape: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """(n,) part of the variance that is left of normal distributions of which only what is above the least pixel was taken.

    A normal distribution in two dimensions that is cut off where its density is u of its top has 1 + u ln u / (1 - u) of its variance.
    """
    area = np.abs(np.linalg.det(steps))
    det = np.sqrt(np.maximum(np.linalg.det(shape), 1e-4 * area**2))
    top = moments[:, 0] * area / (2.0 * np.pi * det)
    u = np.clip(moments[:, 6] / np.maximum(top, 1e-9), 1e-6, 0.5)
    return np.asarray(1.0 + u * np.log(u) / (1.0 - u))


def _rocking(experiment: Experiment, reflections: ReflectionTable, boxes: Shoeboxes, rows: np.ndarray) -> Rocking:
    """Counts of the images of some spots."""
    some = boxes.select(rows)
    depth = (some.bbox[:, 5] - some.bbox[:, 4]).astype(np.int64)
    first = np.concatenate([[0], np.cumsum(depth)]).astype(np.int64)
    counts = np.zeros(int(first[-1]))
    image_counts(some.bbox, some.offsets, some.data, some.mask, some.background, first, counts)
    owner = np.repeat(np.arange(len(rows)), depth)
    image = np.arange(len(owner)) - first[owner] + some.bbox[owner, 4]
    width = experiment.known_scan.oscillation[1]
    z = reflections["xyzcal.px"][rows, 2]
    low, high = (image - z[owner]) * width, (image + 1 - z[owner]) * width
    if width < 0:
        low, high = high, low
    seen = counts > 0
    return Rocking(owner[seen], low[seen], high[seen], counts[seen])
