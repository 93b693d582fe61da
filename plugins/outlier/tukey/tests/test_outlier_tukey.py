"""Tukey's fences with his hinges."""

from __future__ import annotations

import numpy as np
import pytest
from spindle_outlier_tukey import TukeyOutlier
from spindle_outlier_tukey.algorithm import hinges


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        # Five-number summaries as in Tukey (1977): the middle value belongs to both halves when the count is odd.
        ([1, 2, 3, 4, 5], 2, 4),
        ([1, 2, 3, 4, 5, 6], 2, 5),
        ([1, 2, 3, 4, 5, 6, 7], 2.5, 5.5),
        ([3], 3, 3),
    ],
)
def test_hinges(values: list[float], low: float, high: float) -> None:
    found = hinges(np.array(values, dtype=float)[::-1, None])
    assert (found[0][0], found[1][0]) == (low, high)


def test_fence_is_a_multiple_of_the_interquartile_range() -> None:
    values = np.arange(1.0, 10.0)  # hinges 3 and 7: fences at -3 and 13
    residuals = np.column_stack([np.append(values, [13.0, -3.1, 13.1]), np.zeros(12)])[:, :1]
    low, high = hinges(residuals)
    expected = (residuals[:, 0] < low[0] - 1.5 * (high[0] - low[0])) | (
        residuals[:, 0] > high[0] + 1.5 * (high[0] - low[0])
    )
    assert np.array_equal(TukeyOutlier().find_outliers(residuals, 1.0), expected)


def test_multiplier_widens_the_fence() -> None:
    residuals = np.random.default_rng(0).normal(size=(4000, 2))
    wide = TukeyOutlier.Params(iqr_multiplier=3.0)
    # Normal data: P(|x| > 2.698) = 0.70 % and P(|x| > 4.72) = 2e-6 per column.
    assert TukeyOutlier().find_outliers(residuals, 1.0).mean() == pytest.approx(0.014, abs=0.006)
    assert TukeyOutlier(wide).find_outliers(residuals, 1.0).sum() <= 1


def test_leniency_widens_the_fences():
    residuals = np.array([[0.0], [1.0], [2.0], [3.0], [4.0], [9.0]])  # hinges 1 and 4: fences at 8.5 and 13
    assert TukeyOutlier().find_outliers(residuals, 1.0).tolist() == [False] * 5 + [True]
    assert not TukeyOutlier().find_outliers(residuals, 2.0).any()
