"""Holes of images, filled from around them."""

from __future__ import annotations

import numpy as np

from .kernels import diffuse_holes

__all__ = ["diffuse", "fill_from_nearest"]


def fill_from_nearest(image: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The image (m, n) with the value of the nearest known pixel where (m, n) bool is False."""
    from scipy.ndimage import distance_transform_edt

    if known.all():
        return image
    nearest = distance_transform_edt(~known, return_distances=False, return_indices=True)
    return np.asarray(image[tuple(nearest)])


def diffuse(image: np.ndarray, holes: np.ndarray, n_iterations: int) -> np.ndarray:
    """The image (m, n) after so many steps of diffusion within the holes (m, n) bool; the rest stays."""
    at = np.flatnonzero(holes)
    if not len(at):
        return image
    out = np.ascontiguousarray(image, np.float64).copy()
    diffuse_holes(out, *np.divmod(at, image.shape[1]), n_iterations)
    return out
