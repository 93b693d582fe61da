"""Outliers by distance from the quartiles."""

from __future__ import annotations

import numpy as np

from spindle.contracts import Algorithm, hookimpl
from spindle.params import Float
from spindle.params import Params as ParamsBase

# Relative differences below this are rounding.
ROUNDING = 1e-12


def hinges(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tukey's hinges (k,), (k,) of the columns of values (n, k): medians of the lower and upper half, the middle
    one in both.
    """
    ordered = np.sort(values, axis=0)
    half = (len(ordered) + 1) // 2
    return np.median(ordered[:half], axis=0), np.median(ordered[len(ordered) - half :], axis=0)


class TukeyOutlier(Algorithm):
    """Residuals far outside the quartiles."""

    class Params(ParamsBase):
        """Rejection by distance from the quartiles."""

        iqr_multiplier = Float(
            1.5,
            min=0,
            level=1,
            help="Reject beyond this many interquartile ranges from the quartiles (1.5: Tukey's inner fence).",
        )

    @hookimpl
    def find_outliers(self, residuals: np.ndarray, leniency: float) -> np.ndarray:
        """Outliers in any column; see `spindle.contracts.outlier.OutlierSpec.find_outliers`."""
        if len(residuals) == 0:
            return np.zeros(0, dtype=bool)
        low, high = hinges(residuals)
        # Residuals that are alike but for rounding have quartiles that coincide: rounding makes no outlier.
        fence = leniency * self.params.iqr_multiplier * (high - low)
        margin = fence + ROUNDING * np.maximum(np.abs(low), np.abs(high))
        return np.asarray(((residuals < low - margin) | (residuals > high + margin)).any(axis=1))
