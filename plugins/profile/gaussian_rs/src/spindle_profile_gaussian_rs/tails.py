"""The part of spots beyond their foreground, where the detector spreads photons further than a profile reaches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from .model_kernels import crowded_parts, radial_sums

__all__ = ["Tails", "learn_tails"]

BIN = 0.5  # px
FEWEST = 100
PARTS = 4
LEAST, SIGNIFICANT = 0.005, 4.0
MOST_CROWDED = 0.1


@dataclass(frozen=True)
class Tails:
    """What lies beyond the foreground: a sum of Gaussians about the predicted position, isotropic on the detector.

    Attributes
    ----------
    width : (k,) float64, px
    amplitude : (k,) float64, 1/px^2
        Density at the centre in units of the photons in the foreground.
    """

    width: np.ndarray
    amplitude: np.ndarray

    def share_within(self, radius: np.ndarray) -> np.ndarray:
        """(n,) float64: part of the photons of spots that a foreground of a radius (n,) in px holds."""
        two = 2.0 * self.width**2
        beyond = (np.pi * two * self.amplitude * np.exp(-(radius[:, None] ** 2) / two)).sum(axis=1)
        return np.asarray(1.0 / (1.0 + beyond))


def learn_tails(
    xy: np.ndarray, radius: np.ndarray, bbox: np.ndarray, offsets: np.ndarray, data: np.ndarray, mask: np.ndarray,
    background: np.ndarray, intensity: np.ndarray,
) -> Tails | None:  # fmt: skip
    """Tails from strong spots, or None where they hold next to nothing.

    Spots that have many neighbours are left out: between spots lie the ends of all, which would be taken for those of one.
    Counts beyond the foreground, pixels under other spots left out, are added up in rings of distance from the predicted position, and
    Gaussians of positive amplitude fitted to them, less a constant: the background was taken from the same pixels, tails and all.

    Parameters
    ----------
    xy : (n, 2) float64, px
    radius : (n,) float64, px
        Of the foregrounds.
    bbox, offsets, data, mask, background
        Shoeboxes with the background taken off in sums.
    intensity : (n,) float64, counts
        In the foreground.
    """
    rows = np.flatnonzero(intensity > 0)
    crowded = np.empty(len(intensity))
    crowded_parts(offsets, mask, crowded)
    rows = rows[crowded[rows] < MOST_CROWDED]
    rows = rows[np.argsort(-intensity[rows], kind="stable")][:4000]
    if len(rows) < FEWEST:
        return None
    edge = 0.25 * np.mean(np.diff(bbox[rows].reshape(-1, 3, 2)[:, :2], axis=2))
    typical = float(np.median(radius[rows]))
    reach = max(2.0 * float(edge), typical + 2.0)
    sums = np.zeros((PARTS, int(np.ceil(1.5 * reach / BIN)), 4))
    for k in range(PARTS):
        radial_sums(xy, bbox, offsets, data, mask, background, intensity, rows[k::PARTS], BIN, sums[k])
    tails = _fitted(sums.sum(axis=0), typical, reach)
    parts = [_fitted(part, typical, reach) for part in sums]
    if tails is None or any(p is None for p in parts):
        return None
    at = np.array([typical])
    beyond = 1.0 / tails.share_within(at)[0] - 1.0
    each = [1.0 / p.share_within(at)[0] - 1.0 for p in parts if p is not None]
    error = float(np.std(each, ddof=1)) / np.sqrt(PARTS)
    return tails if beyond > max(LEAST, SIGNIFICANT * error) else None


def _fitted(sums: np.ndarray, radius: float, reach: float) -> Tails | None:
    counts, photons, raw, distance = sums.T
    good = photons > 0.02 * photons.max(initial=0.0)
    if np.count_nonzero(good) < 4:
        return None
    r = distance[good] / photons[good]
    density, sigma = counts[good] / photons[good], np.sqrt(np.maximum(raw[good], 1.0)) / photons[good]
    width = np.geomspace(0.4 * radius, 0.6 * reach, 6)
    columns = np.exp(-(r[:, None] ** 2) / (2 * width**2))
    matrix = np.column_stack([columns, -np.ones(len(r))]) / sigma[:, None]
    size = np.linalg.norm(matrix, axis=0)
    found, _ = nnls(matrix / size, density / sigma)
    return Tails(width, (found / size)[:-1])
