"""Values along a line and around the beam, and distances between points."""

from __future__ import annotations

from typing import Any

import numpy as np

from spindle_lib_masks.rings import RING_WIDTH, ring_numbers

from .image_sets import OpenSet, Picture

__all__ = ["line_profile", "radial_profile"]


def line_profile(one: OpenSet, picture: Picture, x0: float, y0: float, x1: float, y1: float) -> dict[str, Any]:
    """Values of the pixels along a line of the picture, one for each pixel of length.

    Returns
    -------
    dict
        ``distance`` (pixels from the first point), ``value`` (None where there is none).
    """
    length = float(np.hypot(x1 - x0, y1 - y0))
    n = min(int(length) + 2, 20_000)
    along = np.linspace(0.0, 1.0, n)
    x, y = np.floor(x0 + along * (x1 - x0)).astype(int), np.floor(y0 + along * (y1 - y0)).astype(int)
    rows, columns = picture.values.shape
    inside = (x >= 0) & (y >= 0) & (x < columns) & (y < rows)
    x, y = np.clip(x, 0, columns - 1), np.clip(y, 0, rows - 1)
    values = picture.values[y, x].astype(float)
    good = inside & (one.status[y, x] == 2) & (values >= picture.low) & (values <= picture.high)
    return {
        "distance": np.round(along * length, 3).tolist(),
        "value": [float(v) if g else None for v, g in zip(values, good, strict=True)],
    }


def radial_profile(one: OpenSet, picture: Picture) -> dict[str, Any]:
    """Mean and standard deviation of the good pixels of each ring of equal scattering angle.

    Returns
    -------
    dict
        ``d`` (angstrom), ``two_theta`` (degrees), ``mean``, ``deviation``, ``n``; rings without pixels are left out.
    """
    rings = one.rings
    good = (rings >= 0) & (one.status == 2) & (picture.values >= picture.low) & (picture.values <= picture.high)
    at = rings[good]
    values = picture.values[good].astype(np.float64)
    n = np.bincount(at)
    total = np.bincount(at, values)
    squares = np.bincount(at, values * values)
    used = np.flatnonzero(n > 0)
    mean = total[used] / n[used]
    deviation = np.sqrt(np.maximum(squares[used] / n[used] - mean**2, 0.0))
    # Ring k holds the pixels whose 2 tan(theta) is from k to k + 1 of the scale of `ring_numbers`.
    theta = np.arctan(0.5 * (used + 0.5) / one.ring_scale)
    d = one.experiment.beam.wavelength / (2.0 * np.sin(theta))
    return {
        "d": d.tolist(),
        "two_theta": np.rad2deg(2.0 * theta).tolist(),
        "mean": mean.tolist(),
        "deviation": deviation.tolist(),
        "n": n[used].tolist(),
    }


def rings_of(one: OpenSet) -> tuple[np.ndarray, float]:
    """The ring of each pixel of the picture, int32, -1 where no panel is; and rings for each unit of 2 tan(theta)."""
    detector = one.experiment.detector
    pixel = float(detector[0].pixel_size.min())
    scale = max(min(p.distance for p in detector), pixel) / pixel / RING_WIDTH
    return one.canvas(ring_numbers(one.experiment), -1), scale
