"""The image of a panel in polar coordinates about the beam, smoothed along rings, and back."""

from __future__ import annotations

import numpy as np

from spindle.models import Beam, Detector, Goniometer

from .holes import diffuse, fill_from_nearest
from .kernels import filter_rings, resample_back, resample_forward

__all__ = ["PolarGrid", "smoothed_model"]


class PolarGrid:
    """Polar grid of one panel: radius is the angle to the beam, theta the angle about it.

    Parameters
    ----------
    detector : Detector
    panel : int
    beam : Beam
    axis : (3,) float64
        Of the rotation; theta is counted from the direction perpendicular to it and to the beam.

    Attributes
    ----------
    size : (int, int)
        Cells along theta and along the radius.
    """

    def __init__(self, detector: Detector, panel: int, beam: Beam, axis: np.ndarray) -> None:
        nx, ny = detector[panel].image_size
        z = beam.s0 / np.linalg.norm(beam.s0)
        y = np.cross(z, axis)
        if np.linalg.norm(y) < 1e-6:  # the crystal turns about the beam
            y = np.cross(z, [0.0, 1.0, 0.0] if abs(z[1]) < 0.9 else [1.0, 0.0, 0.0])
        y /= np.linalg.norm(y)
        x = np.cross(z, y)
        corners = np.stack(np.meshgrid(np.arange(nx + 1.0), np.arange(ny + 1.0)), axis=-1).reshape(-1, 2)
        ray = detector.lab_coordinate_of_pixel(panel, corners)
        ray /= np.linalg.norm(ray, axis=1)[:, None]
        r = np.arccos(np.clip(ray @ z, -1.0, 1.0)).reshape(ny + 1, nx + 1)
        theta = np.arctan2(ray @ y, ray @ x).reshape(ny + 1, nx + 1)
        nearest = corners[int(np.argmin(r))]
        far = max(float(np.hypot(*(nearest - corner))) for corner in ((0, 0), (nx, 0), (0, ny), (nx, ny)))
        n_r = max(int(np.ceil(far)), 1)
        self.size = max(int(np.ceil(nx * ny / n_r)), 1), n_r
        # in cells, from the least value
        self.r = (r - r.min()) / max(float(np.ptp(r)), 1e-12) * n_r
        self.theta = (theta - theta.min()) / max(float(np.ptp(theta)), 1e-12) * self.size[0]
        self.turns_fully = bool(np.ptp(theta) > 6.2)
        side = ray @ y
        across = side.reshape(ny + 1, nx + 1) > 0
        behind = (ray @ x).reshape(ny + 1, nx + 1) <= 0
        four = [across[:-1, :-1], across[:-1, 1:], across[1:, :-1], across[1:, 1:]]
        differ = np.logical_or.reduce(four) & ~np.logical_and.reduce(four)
        self.cut = differ & (behind[:-1, :-1] | behind[:-1, 1:] | behind[1:, :-1] | behind[1:, 1:])

    def forward(self, image: np.ndarray, good: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Means of an image (slow, fast) on the grid (theta, r), and which cells no bad pixel touches."""
        total, area = np.zeros(self.size), np.zeros(self.size)
        bad = np.zeros(self.size, np.uint8)
        resample_forward(image, good & ~self.cut, self.cut, self.r, self.theta, total, area, bad)
        return np.where(area > 0, total / np.maximum(area, 1e-12), 0.0), (area > 0) & (bad == 0)

    def back(self, polar: np.ndarray) -> np.ndarray:
        """(slow, fast) float64: the mean of the cells under each pixel; 0 on the cut, where theta jumps."""
        out = np.zeros(self.cut.shape)
        resample_back(polar, self.cut, self.r, self.theta, out)
        return out


def smoothed_model(
    grid: PolarGrid, image: np.ndarray, good: np.ndarray, kernel: int, use_median: bool, n_iterations: int
) -> tuple[np.ndarray, np.ndarray]:
    """An image smoothed along rings.

    Parameters
    ----------
    grid : PolarGrid
    image : (slow, fast) float64, counts
    good : (slow, fast) bool
    kernel : int
        Half width of the window along theta, in cells.
    use_median : bool
        The median of the window, else the mean.
    n_iterations : int
        Of the diffusion that smooths what fills holes.

    Returns
    -------
    model : (slow, fast) float64, counts
        0 where the image is not good.
    polar : (theta, r) float64
        The smoothed polar image.
    """
    polar, valid = grid.forward(image, good)
    smooth, known = np.zeros(grid.size), np.zeros(grid.size, np.bool_)
    filter_rings(polar, valid, kernel, grid.turns_fully, use_median, smooth, known)
    if not known.any():
        return np.zeros(image.shape), smooth
    smooth = diffuse(fill_from_nearest(smooth, known), ~known, n_iterations)
    model = grid.back(smooth)
    if grid.cut.any() and not grid.cut.all():
        model = diffuse(fill_from_nearest(model, ~grid.cut), grid.cut, n_iterations)
    return np.where(good, model, 0.0), smooth


def axis_of(goniometer: Goniometer | None) -> np.ndarray:
    """(3,) float64: the rotation axis, or x where nothing rotates."""
    return np.array([1.0, 0.0, 0.0]) if goniometer is None else np.asarray(goniometer.axis_lab)
