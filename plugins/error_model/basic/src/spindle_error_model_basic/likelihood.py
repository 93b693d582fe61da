"""Most likely error model: squared deviations regressed on the parts of the variance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.optimize import nnls

from .fit import MIN_OBSERVATIONS, means

Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]

#: Squared normalised deviations above this count no more: 3 sigma.
LIMIT = 9.0
#: Observations that are looked at together; what is computed of them takes much memory.
OBSERVATIONS_AT_ONCE = 2**16
#: Mean of min(z^2, LIMIT) of a normal distribution is smaller than 1 by this factor.
LIMITED_MEAN = 0.9950
#: Squared deviations of equivalents that an assumed b is worth: b^2 is then taken to be known to within 45 % of itself. With 2 (100 %) it follows
#: the ten pairs of a triclinic crystal turned by 12 degrees, with 40 it leaves sigmas of strong reflections 12 % too large at 20 degrees.
ASSUMED_WEIGHT = 10.0


def fit_likelihood(
    intensity: np.ndarray,
    variance: np.ndarray,
    scale: np.ndarray,
    counting: np.ndarray,
    offsets: np.ndarray,
    fixed: tuple[float | None, float | None, float | None],
    run: Map = map,
) -> tuple[float, float, float] | None:
    """Find a, b and c of sigma'^2 = a^2 (sigma^2 + c counting + (b I)^2).

    Parameters
    ----------
    intensity, variance, scale, counting : (n,) float64, sorted by reflection
    offsets : (m + 1,) int64
    fixed : (a, b, c)
        Values to keep, None for those to find. With a fixed, b and c follow from what a^2 sigma^2 leaves.
    run
        Applies a function to items, as `map` does or in several threads.

    Returns
    -------
    (a, b, c), or None with fewer than 250 observations of reflections measured more than once.

    Notes
    -----
    The squared deviation from the mean of the group has the expectation sigma_i'^2 (1 - w_i g_i^2 / sum w g^2), linear
    in a^2, a^2 c and a^2 b^2. Its own variance is twice the square of that, so the likelihood of normal errors is
    maximised by weighted linear least squares with weights 1 / expectation^2, iterated; the parameters cannot be
    negative.
    """
    if int(np.diff(offsets)[np.diff(offsets) > 1].sum()) < MIN_OBSERVATIONS:
        return None
    a, b, c = (1.0, 0.02, 0.0)
    a = fixed[0] or a
    b = fixed[1] if fixed[1] is not None else b
    c = fixed[2] if fixed[2] is not None else c
    blocks = _blocks(offsets)
    expected = np.empty(len(intensity))

    def expect(block: tuple[int, int]) -> None:
        here, group, n_groups = _rows_of(offsets, block)
        mean = means(intensity[here], variance[here], scale[here], group, n_groups)
        expected[here] = np.maximum(scale[here] * mean[group], 0.0)

    def equate(block: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        here, group, n_groups = _rows_of(offsets, block)
        some = intensity[here], variance[here], scale[here], counting[here], expected[here]
        return _of_block(*some, group, n_groups, a, b, c, fixed)

    for _ in run(expect, blocks):
        pass
    for _ in range(30):
        equations: tuple[np.ndarray, np.ndarray] | None = None
        for found in run(equate, blocks):
            equations = found if equations is None else (equations[0] + found[0], equations[1] + found[1])
        if equations is None or not len(equations[1]):
            break
        new = _solved(*equations, a, b, c, fixed)
        change = max(abs(new[0] - a) / a, abs(new[1] - b) / 0.01, abs(new[2] - c))
        a, b, c = new
        if change < 1e-3:
            break
    return a, b, c


def fit_few(
    intensity: np.ndarray,
    variance: np.ndarray,
    scale: np.ndarray,
    offsets: np.ndarray,
    assumed: float,
    a: float,
    c: np.ndarray,
) -> tuple[float, int]:
    """The most probable b where equivalents are too few to tell more, drawn to an assumed value.

    Parameters
    ----------
    intensity, variance, scale : (n,) float64, sorted by reflection
    offsets : (m + 1,) int64
    assumed : float
        Counts as much as `ASSUMED_WEIGHT` squared deviations of strong equivalents that show it.
    a : float
        Kept.
    c : (n,) float64
        Added to the variances.

    Returns
    -------
    b, number of degrees of freedom that had a say
    """
    sizes = np.diff(offsets)
    freedom = int((sizes[sizes > 1] - 1).sum())
    b = assumed
    group = np.repeat(np.arange(len(sizes)), sizes)
    variance = variance + c
    expected = (
        np.maximum(scale * means(intensity, variance, scale, group, len(sizes))[group], 0.0)
        if len(group)
        else intensity
    )
    for _ in range(10):
        if not freedom:
            break
        normal, right = _of_block(
            intensity, variance, scale, np.zeros(len(group)), expected, group, len(sizes), a, b, 0.0, (a, None, 0.0)
        )  # fmt: skip
        # as so many more squared deviations that equal what is assumed, with the weight that it or the present b, if that is more, gives them
        weight = ASSUMED_WEIGHT / (a * max(b, assumed, 1e-4)) ** 4
        square = (float(right[0]) + weight * (a * assumed) ** 2) / (float(normal[0, 0]) + weight)
        new = float(np.sqrt(max(square, 0.0))) / a
        if abs(new - b) < 1e-4:
            b = new
            break
        b = new
    return b, freedom


def _blocks(offsets: np.ndarray) -> list[tuple[int, int]]:
    """First and last reflection, half open, of blocks of some ten thousand observations each."""
    k = max(1, int(offsets[-1]) // OBSERVATIONS_AT_ONCE)
    edges = np.unique(np.searchsorted(offsets, np.linspace(0, offsets[-1], k + 1)[1:-1]))
    edges = np.concatenate([[0], edges[edges > 0], [len(offsets) - 1]])
    return [(int(first), int(last)) for first, last in pairwise(edges)]


def _rows_of(offsets: np.ndarray, block: tuple[int, int]) -> tuple[slice, np.ndarray, int]:
    """The observations of a block, the number of the reflection of each, and how many reflections there are."""
    first, last = block
    sizes = np.diff(offsets[first : last + 1])
    return slice(int(offsets[first]), int(offsets[last])), np.repeat(np.arange(len(sizes)), sizes), len(sizes)


def _of_block(
    intensity: np.ndarray,
    variance: np.ndarray,
    scale: np.ndarray,
    counting: np.ndarray,
    expected: np.ndarray,
    group: np.ndarray,
    n_groups: int,
    a: float,
    b: float,
    c: float,
    fixed: tuple[float | None, float | None, float | None],
) -> tuple[np.ndarray, np.ndarray]:
    """Normal matrix and right-hand side of the linear fit of some reflections, whose `expected` is brought up to date."""
    model = a * a * (variance + c * counting + (b * expected) ** 2)
    weight = 1.0 / model
    sums = np.bincount(group, weight * scale**2, n_groups)[group]
    mean = means(intensity, model, scale, group, n_groups)[group]
    expected[:] = np.maximum(scale * mean, 0.0)
    model = a * a * (variance + c * counting + (b * expected) ** 2)
    leverage = np.clip(1.0 - weight * scale**2 / sums, 0.02, 1.0)
    square = np.minimum((intensity - scale * mean) ** 2 / leverage, LIMIT * model) / LIMITED_MEAN
    several = np.bincount(group, minlength=n_groups)[group] > 1
    return _equations(square[several], model[several], variance[several], counting[several], expected[several], fixed)


def _equations(
    square: np.ndarray,
    model: np.ndarray,
    variance: np.ndarray,
    counting: np.ndarray,
    expected: np.ndarray,
    fixed: tuple[float | None, float | None, float | None],
) -> tuple[np.ndarray, np.ndarray]:
    """Normal matrix and right-hand side of a weighted linear fit, with the part of fixed parameters held."""
    fixed_a, fixed_b, fixed_c = fixed
    base, rest = variance.copy(), square
    columns = []
    if fixed_b is not None:
        base = base + (fixed_b * expected) ** 2
    if fixed_c is not None:
        base = base + fixed_c * counting
    if fixed_a is None:
        columns.append(base)
    else:
        rest = square - fixed_a**2 * base
    if fixed_b is None:
        columns.append(expected**2)
    if fixed_c is None:
        columns.append(counting)
    if not columns:
        return np.zeros((0, 0)), np.zeros(0)
    design = np.stack(columns, axis=1) / model[:, None]
    return design.T @ design, design.T @ (rest / model)


def _solved(
    normal: np.ndarray,
    right: np.ndarray,
    a: float,
    b: float,
    c: float,
    fixed: tuple[float | None, float | None, float | None],
) -> tuple[float, float, float]:
    """The parameters of a fit, none of them negative."""
    fixed_a, fixed_b, fixed_c = fixed
    size = 1.0 / np.sqrt(np.maximum(np.diag(normal), 1e-300))
    lower = np.linalg.cholesky(normal * size[:, None] * size + 1e-12 * np.eye(len(size)))
    found = list(nnls(lower.T, np.linalg.solve(lower, right * size))[0] * size)
    a = fixed_a if fixed_a is not None else float(np.sqrt(max(found.pop(0), 1e-6)))
    b = fixed_b if fixed_b is not None else float(np.sqrt(found.pop(0))) / a
    c = fixed_c if fixed_c is not None else float(found.pop(0)) / a**2
    return a, b, c
