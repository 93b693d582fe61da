"""Factors that make the minimum covariance determinant an unbiased covariance of normal data."""

from __future__ import annotations

import math

import numpy as np


def chi_squared_quantile(probability: float, degrees: int) -> float:
    """Quantile of the chi-squared distribution."""
    from scipy.special import gammaincinv  # a quarter of a second that runs without this plugin do not need

    return 2.0 * float(gammaincinv(0.5 * degrees, probability))


def subset_size(n: int, p: int, alpha: float) -> int:
    """Number of rows h whose covariance determinant is made small: from (n + p + 1) // 2 at alpha = 0.5 to n at
    alpha = 1.
    """
    middle = (n + p + 1) // 2
    return math.floor(2 * middle - n + 2 * (n - middle) * alpha)


def consistency_factor(fraction: float, p: int) -> float:
    """Factor for the fraction h / n of normal data in p dimensions. Croux & Haesbroeck (1999), J. Multivar. Anal.
    71, 161.
    """
    from scipy.special import gammainc

    if fraction >= 1.0:
        return 1.0
    return fraction / float(gammainc(0.5 * p + 1.0, 0.5 * chi_squared_quantile(fraction, p)))


# Coefficients of Pison, Van Aelst & Willems (2002), Metrika 55, 111-123: bias of small samples at alpha = 0.5 and
# 0.875.
_ONE_DIMENSION = ((0.262024211897096, 0.604756680630497), (-0.351584646688712, 1.01646567502486))
_TWO_DIMENSIONS = ((0.673292623522027, 0.691365864961895), (0.446537815635445, 1.06690782995919))
_MORE_DIMENSIONS = (
    ((-1.42764571687802, 1.26263336932151, 2.0), (-1.06141115981725, 1.28907991440387, 3.0)),
    ((-0.455179464070565, 1.11192541278794, 2.0), (-0.294241208320834, 1.09649329149811, 3.0)),
)


def small_sample_factor(n: int, p: int, alpha: float) -> float:
    """Factor for n rows of p dimensions."""
    if p <= 2:
        bias = [1.0 - math.exp(a) / n**b for a, b in (_ONE_DIMENSION if p == 1 else _TWO_DIMENSIONS)]
    else:
        bias = []
        for coefficients in _MORE_DIMENSIONS:
            rows = [[1.0, -math.log(c2 * p * p)] for _, _, c2 in coefficients]
            values = [math.log(-c0 / p**c1) for c0, c1, _ in coefficients]
            a, b = np.linalg.solve(np.array(rows), np.array(values))
            bias.append(1.0 - math.exp(a) / n**b)
    low, high = bias
    if alpha <= 0.875:
        value = low + (high - low) / 0.375 * (alpha - 0.5)
    else:
        value = high + (1.0 - high) / 0.125 * (alpha - 0.875)
    return 1.0 / value
