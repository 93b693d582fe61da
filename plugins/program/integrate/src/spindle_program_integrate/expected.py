"""The mean intensity to expect at a resolution, from a sample of all predictions."""

from __future__ import annotations

import numpy as np

from spindle.table import rows_by_value

SAMPLE = 4000
LEAST_SPOTS = 20
SPOTS_PER_BIN = 100
MAX_BINS = 40
FLOOR = 0.5


class ExpectedIntensity:
    """Mean intensity against 1/d^2 for each experiment, weak and absent reflections included.

    Parameters
    ----------
    ids : (m,) int64; x : (m,) float64, 1/angstrom^2; intensity : (m,) float64, counts
        The sample.
    """

    def __init__(self, ids: np.ndarray, x: np.ndarray, intensity: np.ndarray) -> None:
        self.curves: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        for i, mine in rows_by_value(ids).items():
            if len(mine) < LEAST_SPOTS:
                continue
            order = mine[np.argsort(x[mine], kind="stable")]
            parts = np.array_split(order, int(np.clip(len(mine) // SPOTS_PER_BIN, 1, MAX_BINS)))
            centres = np.array([x[p].mean() for p in parts])
            means = np.array([max(_mean(intensity[p]), FLOOR) for p in parts])
            self.curves[i] = (centres, means)

    def __call__(self, ids: np.ndarray, x: np.ndarray) -> np.ndarray:
        """(n,) float64, counts; -1 where nothing is known."""
        out = np.full(len(ids), -1.0)
        for i, rows in rows_by_value(ids).items():
            if i in self.curves:
                centres, means = self.curves[i]
                out[rows] = np.exp(np.interp(x[rows], centres, np.log(means)))
        return out


def _mean(intensity: np.ndarray) -> float:
    """Mean of intensities (n,) of which some hold hits of stray particles: what lies far beyond Wilson's distribution counts no more than its end."""
    middle = float(np.median(intensity))
    spread = 1.4826 * float(np.median(np.abs(intensity - middle)))
    # of an exponential distribution one in 7000 lies beyond 9 means, 13 medians
    return float(np.minimum(intensity, 13.0 * max(middle, 0.0) + 6.0 * spread).mean())


def choose_sample(candidates: np.ndarray) -> np.ndarray:
    """Every so many-th of some rows, about 4000 in all."""
    return candidates[:: max(1, len(candidates) // SAMPLE)]


def of_heights(expected: np.ndarray, ids: np.ndarray, partiality: np.ndarray, still: np.ndarray) -> np.ndarray:
    """(n,) float64: of reflections of stills (n,) bool, the mean intensity of those that stand as high on their rocking curves."""
    if not still.any():
        return expected
    mean = np.bincount(ids, partiality) / np.maximum(np.bincount(ids), 1)
    height = partiality / np.maximum(mean[ids], 1e-9)
    return np.where(still & (expected >= 0), expected * height, expected)
