"""What counting statistics leave of the error of an intensity, however it is measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from .truth import Truth

__all__ = ["SpotWidths", "least_variance", "spot_widths"]

REACH = 6.0  # standard deviations along the rotation that are looked at


@dataclass(frozen=True, slots=True)
class SpotWidths:
    """What the bound needs to know of spots (n,).

    Attributes
    ----------
    area : (n,) float64
        Product of the standard deviations in the two directions of the detector, pixels themselves included; px^2.
    images : (n,) float64
        Standard deviation along the rotation; images.
    position : (n,) float64
        Middle of the spot along the rotation; images from the first.
    background : (n,) float64
        Expected counts of a pixel of one image at the spot, with the usual beam.
    beam : (n_images,) float64
        Strength of the beam on each image.
    """

    area: np.ndarray
    images: np.ndarray
    position: np.ndarray
    background: np.ndarray
    beam: np.ndarray


def spot_widths(truth: Truth) -> SpotWidths:
    """Widths of all reflections of a truth, from the spread that its photons had.

    A turn of a mosaic block about the scattering vector moves a ray along e1, by more the longer the vector; the divergence of the beam and its
    wavelengths spread rays along e2. On the detector that spread is wider by one over the cosine of the obliquity along e2, and the
    illuminated volume, the depth of the sensor, the core of the point spread and the pixel add to it.
    """
    models, spread = truth.models, truth.spread
    detector = models["detector"]
    frames = models.get("panels") or [detector]
    pixel = float(detector["pixel_mm"])
    fast, slow, origin = (np.array([p[k] for p in frames], float)[truth.panel] for k in ("fast", "slow", "origin"))
    ray = origin + pixel * (truth.position[:, :1] * fast + truth.position[:, 1:2] * slow)
    distance = np.linalg.norm(ray, axis=1)
    cosine = np.clip(np.abs(np.sum(ray * np.cross(fast, slow), axis=1)) / distance, 0.1, 1.0)
    source = float(models["params"].get("parameters", {}).get("beam.size", 0.0))
    depth = _depth_variance(float(detector.get("thickness_mm", 0.0)), float(detector.get("mu_per_mm", 0.0)), cosine)
    pixels = 1 / 12 + float(detector.get("point_spread", (0.0,))[0]) ** 2
    along = (spread[:, 0] * distance**2 + source**2) / pixel**2 + pixels
    across = ((spread[:, 1] * distance**2 + source**2) / cosine**2 + depth) / pixel**2 + pixels
    return SpotWidths(
        area=np.sqrt(along * across),
        images=np.degrees(np.sqrt(spread[:, 2])) / models["osc_deg"] / np.maximum(np.abs(truth.zeta), 0.02),
        position=truth.position[:, 2],
        background=truth.at(truth.background, slice(None)),
        beam=truth.frame_scale,
    )


def _depth_variance(thickness: float, mu: float, cosine: np.ndarray) -> np.ndarray:
    """(n,) mm^2: how far apart, on the face of a sensor, rays are stopped; they fall off by exp(-mu path)."""
    path = thickness / cosine
    t = mu * path
    # Of an exponential cut off after t, in units of 1 / mu; a uniform one where t is small.
    cut = np.where(t > 1e-3, 1.0 - t**2 * np.exp(-t) / np.maximum(-np.expm1(-t), 1e-12) ** 2, t**2 / 12)
    return np.asarray((1 - cosine**2) * cut / max(mu, 1e-12) ** 2 if mu > 0 else np.zeros(len(cosine)))


def least_variance(counts: np.ndarray, widths: SpotWidths) -> np.ndarray:
    """The bound of Cramer and Rao (n,) for the variance of the counts (n,) of spots that are Gaussian in three dimensions.

    Notes
    -----
    No unbiased estimate from Poisson counts can do better: 1 / sum p^2 / (n p + b) over the pixels that were measured, p the profile, n the
    counts of the whole spot, b the background, here both known. Over the two directions of an image the sum is an integral that can be written
    down: with s the share of the image, B = 2 pi b times the area of the spot, and x = n s / B it is B / n^2 (x - log(1 + x)). What lies
    before the first image and after the last tells nothing.
    """
    n_images = len(widths.beam)
    n = np.maximum(np.asarray(counts, float), 1e-3)
    whole, told = np.zeros(len(n)), np.zeros(len(n))
    reach = np.ceil(REACH * widths.images).astype(int) + 1
    middle = np.floor(widths.position).astype(int)
    shares = []
    for step in range(-int(reach.max(initial=0)), int(reach.max(initial=0)) + 1):
        rows = np.flatnonzero(reach >= abs(step))
        frame = middle[rows] + step
        start = (frame - widths.position[rows]) / widths.images[rows]
        share = ndtr(start + 1 / widths.images[rows]) - ndtr(start)
        share *= widths.beam[np.clip(frame, 0, n_images - 1)]
        whole[rows] += share
        inside = (frame >= 0) & (frame < n_images)
        shares.append((rows[inside], frame[inside], share[inside]))
    for rows, frame, share in shares:
        dark = np.maximum(2 * np.pi * widths.area * widths.background, 1e-7 * n)[rows] * widths.beam[frame]
        x = n[rows] * share / whole[rows] / np.maximum(dark, 1e-12)
        told[rows] += np.maximum(dark, 1e-12) * np.where(x > 1e-4, x - np.log1p(x), x * x / 2)
    with np.errstate(divide="ignore"):
        return np.asarray(n**2 / told)
