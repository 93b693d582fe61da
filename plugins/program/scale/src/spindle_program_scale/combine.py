"""The mixture of profile-fitted and summed intensities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from spindle.report import Table
from spindle_lib_merging import Groups, Merged, correlation, half_means, merge_groups

from .data import Observations
from .params import ScaleParams
from .pieces import slices_of
from .sums import Map, blocks_of

if TYPE_CHECKING:
    from spindle.execution import RunContext

#: Special values of Imid.
PROFILE_ONLY, SUM_ONLY = 0.0, 1.0
#: Least I / sigma of observations that decide.
MIN_RATIO = 1.0
#: Reflections that a range of intensity has at least, and most ranges.
GROUPS_PER_RANGE, MOST_RANGES = 50, 20
#: Standard deviations by which another mixture has to be better than the first one.
SIGNIFICANT = 2.0
#: With fewer degrees of freedom nothing can be told.
FEWEST_DEGREES = 30


def mixture(obs: Observations, middle: float, rows: np.ndarray | slice = slice(None)) -> tuple[np.ndarray, np.ndarray]:
    """Intensities and variances with weight 1 / (1 + (raw sum / middle)^3) for profile fitting.

    Parameters
    ----------
    obs : Observations
    middle : float
        Raw summed intensity of equal parts; 0 is profile only, 1 sum only. The other kind fills in where one is
        missing.
    rows
        Which observations.
    """
    profile, profile_variance = obs.profile[rows], obs.profile_variance[rows]
    summed, summed_variance = obs.summed[rows], obs.summed_variance[rows]
    if middle == PROFILE_ONLY:
        weight = np.ones(len(profile))
    elif middle == SUM_ONLY:
        weight = np.zeros(len(profile))
    else:
        weight = 1.0 / (1.0 + (np.maximum(obs.raw_sum[rows], 0.0) / middle) ** 3)
    weight = np.where(np.isnan(summed), 1.0, np.where(np.isnan(profile), 0.0, weight))
    value = weight * np.nan_to_num(profile) + (1 - weight) * np.nan_to_num(summed)
    variance = weight * np.nan_to_num(profile_variance) + (1 - weight) * np.nan_to_num(summed_variance)
    return value, variance


def candidates(raw_sum: np.ndarray) -> list[float]:
    """Values of Imid worth trying: profile only, sum only, the mean, and the largest divided by powers of ten."""
    start = max(10.0, float(raw_sum.mean()))
    found = [PROFILE_ONLY, SUM_ONLY, start]
    value = float(raw_sum.max()) / 10.0
    while value > start / 10.0:
        if value not in found:
            found.append(value)
        value /= 10.0
        if value < start:
            found.append(value)
            break
    return [v for v in found if v in (PROFILE_ONLY, SUM_ONLY) or v > 1.0]


def quality(obs: Observations, scaled: np.ndarray, variance: np.ndarray, good: np.ndarray) -> tuple[float, float]:
    """CC1/2 and Rmeas of scaled intensities of variances (n,), of the good observations (n,) bool."""
    groups = several_of(obs.groups, good)
    r_meas = _r_meas(merge_groups(groups, scaled, variance))
    first, second = half_means(groups, scaled, variance)
    both = np.isfinite(first)
    return correlation(first[both], second[both]), r_meas


def several_of(
    groups: Groups, keep: np.ndarray, among: np.ndarray | None = None, more: np.ndarray | None = None
) -> Groups:
    """The groups of some observations, single ones left out.

    Parameters
    ----------
    groups : Groups
    keep : (n,) bool
    among : (k,) int64, optional
        The part of the order that holds them.
    more : (m,) bool, optional
        Groups whose reflection is known from elsewhere, so that a single observation counts.
    """
    order = groups.order if among is None else among
    order = order[keep[order]]
    index = groups.index[order]
    n = np.bincount(index, minlength=groups.n_groups)
    several = n > 1 if more is None else (n > 1) | (more & (n > 0))
    order = order[several[index]]
    offsets = np.concatenate([[0], np.cumsum(n[several])]).astype(np.int64)
    return Groups(
        order, offsets, groups.hkl[several], groups.positive, groups.centric[several], groups.epsilon[several]
    )


def _r_meas(merged: Merged) -> float:
    n = merged.multiplicity.astype(float)
    total = merged.total.sum()
    return float((np.sqrt(n / (n - 1)) * merged.deviation).sum() / total) if total else float("nan")


def choose(
    obs: Observations, use: np.ndarray, given: Sequence[float] | None, run: Map = map
) -> tuple[float, list[tuple[float, float, float, float]]]:
    """The most precise Imid.

    Returns
    -------
    float
    list of (Imid, CC1/2, Rmeas, variance)
        The variance of equivalents relative to that of the first candidate (profile fitting, unless values are given).

    Notes
    -----
    Equivalents scatter with the variance of the measurement, so the likelihood of normal errors, with a variance for each
    range of intensity, tells which mixture is more precise where mixtures differ; R factors look at the strong reflections,
    where they hardly do. The first candidate is left only for one that is better by more than chance explains, and never for
    summation alone where fits claim half of its variance or less.
    """
    rows = use & np.isfinite(obs.profile) & np.isfinite(obs.summed)
    values = list(given) if given else candidates(obs.raw_sum[rows]) if rows.any() else [PROFILE_ONLY]
    scatter = Scatter(obs, use)
    results = []
    best, most = values[0], 0.0

    def judge(middle: float) -> tuple[float, float, float, float]:
        scaled, variance, good = np.empty(len(obs)), np.empty(len(obs)), np.empty(len(obs), bool)
        for some in slices_of(len(obs)):
            value, of_value = mixture(obs, middle, some)
            np.maximum(of_value, 1e-30, out=of_value)
            good[some] = use[some] & (value > MIN_RATIO * np.sqrt(of_value))
            scaled[some], variance[some] = value / obs.g[some], of_value / obs.g[some] ** 2
        found = quality(obs, scaled, variance, good)
        del variance, good
        return (*found, *scatter.compare(scaled))

    judged = [judge(values[0]), *run(judge, values[1:])]  # all others are compared with the first
    for middle, (cc, r_meas, change, uncertainty) in zip(values, judged, strict=True):
        results.append((middle, cc, r_meas, scatter.relative(change)))
        if middle == SUM_ONLY and not given and rows.any() and _fits_are_better(obs, rows):
            continue
        if -change > max(most, SIGNIFICANT * uncertainty):
            best, most = middle, -change
    return best, results


def _fits_are_better(obs: Observations, rows: np.ndarray) -> bool:
    """Whether most fits have at most half the variance of summation."""
    return bool(np.median(obs.profile_variance[rows] / obs.summed_variance[rows]) <= 0.5)


class Scatter:
    """How much equivalents scatter in ranges of intensity, compared with the first values that are given.

    Parameters
    ----------
    obs : Observations
    use : (n,) bool
    """

    def __init__(self, obs: Observations, use: np.ndarray) -> None:
        known = use & ((np.isfinite(obs.profile)) | np.isfinite(obs.summed))
        groups = several_of(obs.groups, known)
        self.rows, self.offsets = groups.order, groups.offsets
        self.bins: np.ndarray | None = None  # of each reflection
        self.first: tuple[np.ndarray, np.ndarray] | None = None

    def compare(self, scaled: np.ndarray) -> tuple[float, float]:
        """Sum over ranges of degrees of freedom times ln(variance / first variance), and its standard deviation; of intensities over g (n,)."""
        sizes = np.diff(self.offsets)
        if len(self.rows) - len(sizes) < FEWEST_DEGREES:
            return 0.0, 0.0
        mean = np.empty(len(sizes))
        for first, last, group, rows in self._blocks():
            mean[first:last] = np.bincount(group, scaled[rows])
        mean /= sizes
        if self.first is None or self.bins is None:
            residual = np.empty(len(self.rows))
            for first, last, group, rows in self._blocks():
                residual[self.offsets[first] : self.offsets[last]] = scaled[rows] - mean[first:last][group]
            self.first = mean, residual
            number = np.clip(len(mean) // GROUPS_PER_RANGE, 1, MOST_RANGES)
            rank = np.argsort(np.argsort(mean, kind="stable"), kind="stable")
            self.bins = rank * number // len(mean)
            return 0.0, 0.0
        first_mean, before_all = self.first
        top, bottom = float(first_mean @ mean), float(first_mean @ first_mean)
        factor = bottom / top if top > 0 else 1.0  # a common factor is no precision
        squares, before, product = sums = np.zeros((3, int(self.bins.max()) + 1))
        for first, last, group, rows in self._blocks():
            residual = (scaled[rows] - mean[first:last][group]) * factor
            old = before_all[self.offsets[first] : self.offsets[last]]
            bins = self.bins[first:last][group]
            for total, values in zip(sums, (residual**2, old**2, residual * old), strict=True):
                np.add.at(total, bins, values)  # one after the other, so that blocks make no difference
        degrees = np.bincount(self.bins, sizes - 1).astype(np.int64)
        good = (squares > 0) & (before > 0) & (degrees > 0)
        squares, before, product, degrees = squares[good], before[good], product[good], degrees[good]
        alike = product**2 / (squares * before)
        change = float((degrees * np.log(squares / before)).sum())
        # ln of the ratio of two sample variances with correlation r has the variance 4 (1 - r^2) / degrees
        return change, float(np.sqrt((4.0 * degrees * np.maximum(1.0 - alike, 0.0)).sum()))

    def _blocks(self) -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
        """Blocks of reflections: the first and the one after the last, whose each observation is, counted from the first, and the observations."""
        for first, last in blocks_of(self.offsets):
            group = np.repeat(np.arange(last - first), np.diff(self.offsets[first : last + 1]))
            yield first, last, group, self.rows[self.offsets[first] : self.offsets[last]]

    def relative(self, change: float) -> float:
        """Mean ratio of variances that belongs to a change."""
        return float(np.exp(change / max(len(self.rows) - len(self.offsets) + 1, 1)))


def chosen(obs: Observations, params: ScaleParams, context: RunContext) -> np.ndarray:
    """(n_sets,) float64: the Imid of the mixture that agrees best, for all data sets or each."""
    given = params.reflection_selection.combine
    joint = given.joint_analysis or obs.n_sets == 1
    middles = np.zeros(obs.n_sets)
    for k in range(1 if joint else obs.n_sets):
        use = ~obs.outlier if joint else ~obs.outlier & (obs.number == k)
        best, results = choose(obs, use, given.Imid, context.executor.here.map)
        rows = [[_combination(m), cc, r, v] for m, cc, r, v in results]
        title = "Profile-fitted and summed intensities" + ("" if joint else f" of data set {k}")
        context.table(
            Table(title, ["Combination", "CC1/2", "Rmeas", "Relative variance"], rows, "intensity_combination", True)
        )
        middles[slice(None) if joint else k] = best
    return middles


def _combination(middle: float) -> str:
    return {0.0: "profile only", 1.0: "sum only"}.get(middle, f"Imid = {middle:.2f}")
