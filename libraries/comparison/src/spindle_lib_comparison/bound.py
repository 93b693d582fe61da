"""What counting statistics leave of the error of an intensity, however it is measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .truth import Truth

__all__ = ["SpotWidths", "least_variance", "spot_widths"]


@dataclass(frozen=True, slots=True)
class SpotWidths:
    """Widths (n,) of spots, standard deviations in pixels, pixels and images, pixels and images themselves included; and the background.

    Attributes
    ----------
    fast, slow, images : (n,) float64
    background : (n,) float64
        Expected counts of a pixel of one image at the spot.
    """

    fast: np.ndarray
    slow: np.ndarray
    images: np.ndarray
    background: np.ndarray


def spot_widths(truth: Truth) -> SpotWidths:
    """Widths of all reflections of a truth, from the divergence and mosaic spread that its photons had.

    A spot is as wide as its cone of rays at its distance, wider by one over the cosine of the obliquity along one direction; a pixel and
    an image add a twelfth of their squares.
    """
    models = truth.models
    sigmas, detector = models["sigma_effective_deg"], models["detector"]
    frames = models.get("panels") or [detector]
    pixel = float(detector["pixel_mm"])
    fast, slow, origin = (np.array([p[k] for p in frames], float)[truth.panel] for k in ("fast", "slow", "origin"))
    ray = origin + pixel * (truth.position[:, :1] * fast + truth.position[:, 1:2] * slow)
    distance = np.linalg.norm(ray, axis=1)
    cosine = np.abs(np.sum(ray * np.cross(fast, slow), axis=1)) / distance
    across = np.radians(sigmas["sigma_b"]) * distance / pixel
    rotation = sigmas["sigma_m"] / models["osc_deg"] / np.maximum(np.abs(truth.zeta), 0.02)
    frame = np.clip(truth.position[:, 2].astype(int), 0, len(truth.frame_scale) - 1)
    return SpotWidths(
        fast=np.sqrt(across**2 + 1 / 12),
        slow=np.sqrt((across / np.maximum(cosine, 0.1)) ** 2 + 1 / 12),
        images=np.sqrt(rotation**2 + 1 / 12),
        background=truth.at(truth.background, slice(None)) * truth.frame_scale[frame],
    )


def least_variance(counts: np.ndarray, widths: SpotWidths) -> np.ndarray:
    """The bound of Cramer and Rao (n,) for the variance of the counts (n,) of spots that are Gaussian in three dimensions.

    Notes
    -----
    No unbiased estimate from Poisson counts can do better: 1 / sum p^2 / (n p + b) over the pixels, p the profile, n the counts of the
    spot, b the background, here both known. In units of the widths the sum is one integral over the radius, a function of
    b V / n alone with V = (2 pi)^(3/2) times the widths.
    """
    volume = (2 * np.pi) ** 1.5 * widths.fast * widths.slow * widths.images
    # Counts of background under the spot; nothing at all is taken for next to nothing beside the counts.
    dark = np.maximum(widths.background * volume, 1e-7 * np.maximum(counts, 1e-3))
    grid = np.logspace(-6, 8, 141)  # n / dark
    r = np.linspace(0.0, 8.0, 801)
    f = np.exp(-0.5 * r * r)
    weight = 4 * np.pi * r * r * (r[1] - r[0]) / (2 * np.pi) ** 1.5
    information = np.array([np.sum(weight * f * f / (1 + g * f)) for g in grid])  # times 1 / dark
    logs = np.interp(np.log(np.clip(counts / dark, grid[0], grid[-1])), np.log(grid), np.log(information))
    return np.asarray(dark / np.exp(logs))
