"""The detector of a sweep, from where its reflections are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spindle.models import Panel

__all__ = ["FittedPanel", "fit_panel"]

MOST = 20_000
FEWEST = 30


@dataclass(frozen=True, slots=True)
class FittedPanel:
    """A panel and how well it explains the positions.

    Attributes
    ----------
    panel : Panel
    rms : float, pixels
    """

    panel: Panel
    rms: float


def fit_panel(s1: np.ndarray, xy: np.ndarray, distance: float, size: tuple[int, int]) -> FittedPanel | None:
    """The flat panel on which diffracted beams hit positions.

    Parameters
    ----------
    s1 : (n, 3) float64
        Diffracted beams, any length.
    xy : (n, 2) float64, pixels
    distance : float, mm
        From the sample to the plane; the positions alone do not tell it.
    size : (int, int), pixels

    Returns
    -------
    FittedPanel or None
        None for fewer than 30 reflections, or positions along a line.

    Notes
    -----
    s1 is a multiple of d (x, y, 1), d the matrix of pixel vectors and origin: eight of its nine numbers follow by linear least squares (direct
    linear transformation; Hartley & Zisserman 2004, section 4.1), the ninth from the distance.
    """
    if len(s1) < FEWEST or not distance > 0:
        return None
    step = max(1, len(s1) // MOST)
    rays, places = s1[::step] / np.linalg.norm(s1[::step], axis=1, keepdims=True), xy[::step]
    centre, spread = places.mean(axis=0), max(float(places.std()), 1e-6)
    x, y = ((places - centre) / spread).T
    homogeneous = np.stack([x, y, np.ones_like(x)], axis=1)
    n = len(x)
    rows = np.zeros((3 * n, 9))
    for i in range(3):  # the cross product of ray and d (x, y, 1) is zero
        j, k = (i + 1) % 3, (i + 2) % 3
        rows[i::3, 3 * k : 3 * k + 3] = rays[:, j, None] * homogeneous
        rows[i::3, 3 * j : 3 * j + 3] = -rays[:, k, None] * homogeneous
    values, vectors = np.linalg.eigh(rows.T @ rows)
    if values[1] < 1e-10 * values[-1]:
        return None
    d = vectors[:, 0].reshape(3, 3)
    d = d @ np.array([[1 / spread, 0, -centre[0] / spread], [0, 1 / spread, -centre[1] / spread], [0, 0, 1.0]])
    if (rays @ np.linalg.inv(d).T)[:, 2].mean() < 0:
        d = -d
    fast, slow, origin = d.T
    normal = np.cross(fast, slow)
    normal /= np.linalg.norm(normal)
    d = d * distance / abs(normal @ origin)
    fast, slow, origin = d.T
    pixel = np.array([np.linalg.norm(fast), np.linalg.norm(slow)])
    e1 = fast / pixel[0]
    e2 = slow / pixel[1]
    e2 = e2 - (e2 @ e1) * e1
    panel = Panel(
        fast_axis=e1, slow_axis=e2 / np.linalg.norm(e2), origin=origin, pixel_size=pixel, image_size=size, name="Panel"
    )
    at = rays @ np.linalg.inv(np.column_stack([panel.fast_axis * pixel[0], panel.slow_axis * pixel[1], origin])).T
    difference = at[:, :2] / at[:, 2:] - places
    return FittedPanel(panel, float(np.sqrt(np.mean(np.sum(difference**2, axis=1)))))
