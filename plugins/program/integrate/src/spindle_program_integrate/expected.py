"""The mean intensity to expect at a resolution, from a sample of all predictions."""

from __future__ import annotations

import numpy as np

SAMPLE = 4000
SPOTS_PER_BIN = 100
MAX_BINS = 40
FLOOR = 0.5


class ExpectedIntensity:
    """Mean intensity against 1/d^2 for each experiment, weak and absent reflections included.

    Parameters
    ----------
    ids : (m,) int64; x : (m,) float64, 1/angstrom^2; intensity : (m,) float64, counts
        The sample.
    n_experiments : int
    """

    def __init__(self, ids: np.ndarray, x: np.ndarray, intensity: np.ndarray, n_experiments: int) -> None:
        self.curves: list[tuple[np.ndarray, np.ndarray] | None] = []
        for i in range(n_experiments):
            mine = np.flatnonzero(ids == i)
            if len(mine) < 20:
                self.curves.append(None)
                continue
            order = mine[np.argsort(x[mine], kind="stable")]
            parts = np.array_split(order, int(np.clip(len(mine) // SPOTS_PER_BIN, 1, MAX_BINS)))
            centres = np.array([x[p].mean() for p in parts])
            means = np.array([max(float(intensity[p].mean()), FLOOR) for p in parts])
            self.curves.append((centres, means))

    def __call__(self, ids: np.ndarray, x: np.ndarray) -> np.ndarray:
        """(n,) float64, counts; -1 where nothing is known."""
        out = np.full(len(ids), -1.0)
        for i, curve in enumerate(self.curves):
            rows = ids == i
            if curve is not None and rows.any():
                out[rows] = np.exp(np.interp(x[rows], curve[0], np.log(curve[1])))
        return out


def choose_sample(candidates: np.ndarray) -> np.ndarray:
    """Every so many-th of some rows, about 4000 in all."""
    return candidates[:: max(1, len(candidates) // SAMPLE)]
