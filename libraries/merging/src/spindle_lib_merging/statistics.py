"""Merging statistics, overall and per resolution shell.

Definitions: Diederichs & Karplus (1997) Nat. Struct. Biol. 4, 269 (Rmeas); Weiss (2001) J. Appl. Cryst. 34, 130 (Rpim);
Karplus & Diederichs (2012) Science 336, 1030 (CC1/2); Assmann, Brehm & Diederichs (2016) J. Appl. Cryst. 49, 1021
(sigma-tau).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import gemmi
import numpy as np
import numpy.typing as npt

from spindle.symmetry import (
    SpaceGroupLike,
    asu_indices,
    is_centric,
    is_systematically_absent,
    space_group,
    unique_indices,
)

from .correlations import correlation, critical_correlation, sigma_tau
from .grouping import Groups, group_equivalents, pack_indices
from .merge import Merged, checked, half_means, merge_groups, pair_mates

#: The central part of the normal probability plot of anomalous differences that the slope is fitted to.
PROBABILITY_PLOT_RANGE = 0.9


@dataclass(frozen=True, slots=True)
class ShellStatistics:
    """Statistics of the reflections between two resolutions; ratios of nothing are NaN.

    ``completeness`` and ``anomalous_completeness`` are fractions. ``r_*`` merge Friedel mates, ``r_*_anomalous`` keep
    them apart. ``i_over_sigma`` is of merged, ``i_over_sigma_unmerged`` of single observations. ``delta_f_over_f`` is
    the rms F(+) - F(-) over the rms F, ``delta_i_over_sigma`` the mean anomalous difference over its mean sigma,
    ``anomalous_slope`` the slope of their normal probability plot.
    """

    d_max: float
    d_min: float
    n_observations: int
    n_unique: int
    multiplicity: float
    completeness: float
    mean_intensity: float
    i_over_sigma: float
    i_over_sigma_unmerged: float
    r_merge: float
    r_meas: float
    r_pim: float
    r_merge_anomalous: float
    r_meas_anomalous: float
    r_pim_anomalous: float
    r_anomalous: float
    cc_half: float
    cc_half_significant: bool
    cc_half_critical: float
    cc_half_sigma_tau: float
    n_half: int
    anomalous_completeness: float
    anomalous_multiplicity: float
    cc_anomalous: float
    cc_anomalous_significant: bool
    n_half_anomalous: int
    anomalous_slope: float
    delta_f_over_f: float
    delta_i_over_sigma: float

    def as_dict(self) -> dict[str, float | int | bool]:
        """Plain values by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass(frozen=True, slots=True)
class MergingStatistics:
    """Statistics of all reflections and of resolution shells of equal reciprocal volume, lowest resolution first."""

    overall: ShellStatistics
    shells: tuple[ShellStatistics, ...]

    def as_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return {"overall": self.overall.as_dict(), "shells": [s.as_dict() for s in self.shells]}


def resolution_shells(d: npt.ArrayLike, n_shells: int) -> np.ndarray:
    """Edges (n_shells + 1,) in angstrom, from low to high resolution, of shells of equal reciprocal volume that hold
    all d.
    """
    spacing = np.asarray(d, dtype=np.float64)
    cubes = np.linspace(spacing.max() ** -3, spacing.min() ** -3, n_shells + 1)
    cubes[0] *= 1 - 1e-6
    cubes[-1] *= 1 + 1e-6
    return np.asarray(cubes ** (-1 / 3))


def shell_numbers(d: npt.ArrayLike, edges: np.ndarray) -> np.ndarray:
    """Shell of each resolution (n,) int64; -1 or n_shells when outside."""
    return np.asarray(np.searchsorted(np.asarray(edges) ** -3.0, np.asarray(d) ** -3.0) - 1)


@dataclass(slots=True)
class _Data:
    """Everything the shells are cut from, computed once."""

    signal: np.ndarray  # sum of I/sigma of the observations of each reflection
    merged: Merged
    split: Merged
    d_merged: np.ndarray
    d_split: np.ndarray
    halves: tuple[np.ndarray, np.ndarray]
    pairs: dict[str, np.ndarray]
    absent: np.ndarray
    d_unique: np.ndarray
    d_unique_acentric: np.ndarray


def merging_statistics(
    hkl: npt.ArrayLike,
    intensity: npt.ArrayLike,
    variance: npt.ArrayLike,
    cell: npt.ArrayLike,
    group: SpaceGroupLike,
    n_shells: int = 20,
    use_internal_variance: bool = False,
    seed: int = 0,
    edges: npt.ArrayLike | None = None,
) -> MergingStatistics:
    """Statistics of unmerged, scaled intensities.

    Parameters
    ----------
    hkl : (n, 3) int
        Measured Miller indices.
    intensity, variance : (n,) float
        Scaled intensities, positive variances.
    cell : (6,) float, angstrom and degrees
    group
        Space group.
    n_shells
        Number of shells of equal reciprocal volume.
    use_internal_variance
        As in `merge_equivalents`.
    seed
        Seed of the random halves of CC1/2.
    edges : (n_shells + 1,) float, optional
        Own shell edges in angstrom, from low to high resolution.
    """
    data = _prepared(hkl, intensity, variance, cell, group, use_internal_variance, seed)
    return _statistics(data, n_shells if edges is None else np.asarray(edges, dtype=float))


def statistics_in_shells(
    hkl: npt.ArrayLike,
    intensity: npt.ArrayLike,
    variance: npt.ArrayLike,
    cell: npt.ArrayLike,
    group: SpaceGroupLike,
    n_shells: Sequence[int],
    groups: Groups | None = None,
    use_internal_variance: bool = False,
) -> list[MergingStatistics]:
    """`merging_statistics` for several numbers of shells, of observations that are merged once; `groups` where they are known already."""
    data = _prepared(hkl, intensity, variance, cell, group, use_internal_variance, 0, groups)
    return [_statistics(data, n) for n in n_shells]


def _prepared(
    hkl: npt.ArrayLike,
    intensity: npt.ArrayLike,
    variance: npt.ArrayLike,
    cell: npt.ArrayLike,
    group: SpaceGroupLike,
    internal: bool,
    seed: int,
    groups: Groups | None = None,
) -> _Data:
    indices = np.ascontiguousarray(hkl, dtype=np.int32)
    if len(indices) == 0:
        raise ValueError("merging statistics: there are no observations")
    return _prepare(
        indices, intensity, variance, np.asarray(cell, dtype=float), space_group(group), internal, seed, groups
    )


def _statistics(data: _Data, shells: int | np.ndarray) -> MergingStatistics:
    """In a number of shells, or in shells of given edges."""
    limits = resolution_shells(data.d_merged, shells) if isinstance(shells, int) else shells
    found = tuple(_shell(data, limits[i], limits[i + 1]) for i in range(len(limits) - 1))
    return MergingStatistics(_shell(data, limits[0], limits[-1], data.d_merged), found)


def resolution_of(hkl: npt.ArrayLike, cell: npt.ArrayLike) -> np.ndarray:
    """Interplanar spacings (n,) in angstrom of Miller indices (n, 3)."""
    unit_cell = gemmi.UnitCell(*np.asarray(cell, dtype=float))
    inverse = np.asarray(unit_cell.calculate_1_d2_array(np.ascontiguousarray(hkl, dtype=np.int32)), dtype=float)
    with np.errstate(divide="ignore"):
        return np.asarray(1.0 / np.sqrt(inverse))


def _prepare(
    hkl: np.ndarray,
    intensity: npt.ArrayLike,
    variance: npt.ArrayLike,
    cell: np.ndarray,
    group: gemmi.SpaceGroup,
    internal: bool,
    seed: int,
    groups: Groups | None,
) -> _Data:
    values, variances = checked(intensity, variance, len(hkl))
    groups = group_equivalents(hkl, group) if groups is None else groups
    separate, _ = groups.with_friedel_apart()
    merged = merge_groups(groups, values, variances, internal)
    split = merge_groups(separate, values, variances, internal)
    pairs = pair_mates(merged, split)
    keys = pack_indices(merged.hkl)
    first, second = half_means(separate, values, variances, seed)
    differences = []
    asu, isym = asu_indices(split.hkl, group)
    row = np.searchsorted(keys, pack_indices(asu))
    plus = isym % 2 == 1
    for half in (first, second):
        both = [np.full(len(keys), np.nan), np.full(len(keys), np.nan)]
        for side, rows in enumerate((plus, ~plus)):
            both[side][row[rows]] = half[rows]
        differences.append(np.where(merged.centric, np.nan, both[0] - both[1]))
    d_merged = resolution_of(merged.hkl, cell)
    complete = unique_indices(cell, group, float(d_merged.min()) * (1 - 1e-7))
    d_unique = resolution_of(complete, cell)
    return _Data(
        np.add.reduceat((values / np.sqrt(variances))[groups.order], groups.offsets[:-1]), merged, split, d_merged, resolution_of(split.hkl, cell),
        half_means(groups, values, variances, seed),
        {
            "plus": pairs.plus, "minus": pairs.minus, "paired": pairs.paired,
            "sigma": np.sqrt(pairs.sigma_plus**2 + pairs.sigma_minus**2),
            "first": differences[0], "second": differences[1],
        },
        is_systematically_absent(merged.hkl, group),
        d_unique, d_unique[~is_centric(complete, group)],
    )  # fmt: skip


def _ratio(numerator: float, denominator: float) -> float:
    """NaN where the denominator is not positive: a ratio to it means nothing."""
    return float(numerator / denominator) if denominator > 0 else float("nan")


def _r_factors(merged: Merged, rows: np.ndarray) -> tuple[float, float, float]:
    several = rows & (merged.multiplicity > 1)
    n = merged.multiplicity[several].astype(float)
    deviation, total = merged.deviation[several], merged.total[several].sum()
    return (
        _ratio(deviation.sum(), total),
        _ratio((np.sqrt(n / (n - 1)) * deviation).sum(), total),
        _ratio((np.sqrt(1 / (n - 1)) * deviation).sum(), total),
    )


def _pearson(x: np.ndarray, y: np.ndarray, rows: np.ndarray) -> tuple[float, bool, float, int]:
    """Correlation of the finite pairs, its significance, the critical value, number of pairs."""
    use = rows & np.isfinite(x) & np.isfinite(y)
    n = int(use.sum())
    cc, critical = correlation(x[use], y[use]), critical_correlation(n)
    return cc, bool(np.isfinite(critical) and cc > critical), critical, n


def _anomalous_signal(plus: np.ndarray, minus: np.ndarray, sigma: np.ndarray) -> tuple[float, float, float]:
    """Slope of the normal probability plot, rms dF / rms F, mean |dI| / mean sigma(dI)."""
    if len(plus) < 3:
        return float("nan"), float("nan"), float("nan")
    difference = plus - minus
    observed = np.sort(difference / sigma)
    from scipy import special

    expected = special.ndtri((np.arange(len(observed)) + 0.5) / len(observed))
    central = np.abs(expected) <= PROBABILITY_PLOT_RANGE
    slope = float("nan")
    if central.sum() > 2:
        x, y = expected[central], observed[central]
        slope = _ratio(((x - x.mean()) * (y - y.mean())).sum(), ((x - x.mean()) ** 2).sum())
    positive = (plus > 0) & (minus > 0)
    f_plus, f_minus = np.sqrt(plus[positive]), np.sqrt(minus[positive])
    rms_difference = np.sqrt(((f_plus - f_minus) ** 2).mean()) if positive.any() else float("nan")
    rms_mean = np.sqrt((0.25 * (f_plus + f_minus) ** 2).mean()) if positive.any() else 0.0
    return slope, _ratio(rms_difference, rms_mean), _ratio(np.abs(difference).mean(), sigma.mean())


def _inside(d: np.ndarray, low: float, high: float) -> np.ndarray:
    return (d <= low) & (d > high)


def _shell(data: _Data, low: float, high: float, shown: np.ndarray | None = None) -> ShellStatistics:
    """Statistics of the reflections with high < d <= low; `shown` gives the limits to print, where given."""
    rows = _inside(data.d_merged, low, high)
    split_rows = _inside(data.d_split, low, high)
    merged, pairs = data.merged, data.pairs
    n_unique = int(rows.sum())
    n_observations = int(merged.multiplicity[rows].sum())
    possible = int(_inside(data.d_unique, low, high).sum())
    possible_acentric = int(_inside(data.d_unique_acentric, low, high).sum())
    paired = pairs["paired"] & rows
    cc, significant, critical, n_half = _pearson(*data.halves, rows)
    cc_ano, ano_significant, _, n_half_ano = _pearson(pairs["first"], pairs["second"], rows)
    slope, df_over_f, di_over_sigma = _anomalous_signal(
        pairs["plus"][paired], pairs["minus"][paired], pairs["sigma"][paired]
    )
    shell_merged = Merged(*(getattr(merged, f.name)[rows] for f in fields(Merged)))
    r_merge, r_meas, r_pim = _r_factors(merged, rows)
    r_merge_split, r_meas_split, r_pim_split = _r_factors(data.split, split_rows)
    r_anomalous = _ratio(
        np.abs(pairs["plus"] - pairs["minus"])[paired].sum(), 0.5 * (pairs["plus"] + pairs["minus"])[paired].sum()
    )
    return ShellStatistics(
        d_max=float(low if shown is None else shown.max()),
        d_min=float(high if shown is None else shown.min()),
        n_observations=n_observations,
        n_unique=n_unique,
        multiplicity=_ratio(n_observations, n_unique),
        completeness=_ratio(float((rows & ~data.absent).sum()), possible),
        mean_intensity=float(merged.intensity[rows].mean()) if n_unique else float("nan"),
        i_over_sigma=float((merged.intensity / merged.sigma)[rows].mean()) if n_unique else float("nan"),
        i_over_sigma_unmerged=_ratio(float(data.signal[rows].sum()), n_observations),
        r_merge=r_merge,
        r_meas=r_meas,
        r_pim=r_pim,
        r_merge_anomalous=r_merge_split,
        r_meas_anomalous=r_meas_split,
        r_pim_anomalous=r_pim_split,
        r_anomalous=r_anomalous,
        cc_half=cc,
        cc_half_significant=significant,
        cc_half_critical=critical,
        cc_half_sigma_tau=sigma_tau(shell_merged),
        n_half=n_half,
        anomalous_completeness=_ratio(float(paired.sum()), possible_acentric),
        anomalous_multiplicity=_ratio(float(data.split.multiplicity[split_rows].sum()), float(split_rows.sum())),
        cc_anomalous=cc_ano,
        cc_anomalous_significant=ano_significant,
        n_half_anomalous=n_half_ano,
        anomalous_slope=slope,
        delta_f_over_f=df_over_f,
        delta_i_over_sigma=di_over_sigma,
    )


def resolution_limit(statistics: MergingStatistics, cc_half: float = 0.3) -> float | None:
    """Resolution in angstrom at which CC1/2 falls to a limit, from a smooth fit over the shells.

    Parameters
    ----------
    statistics : MergingStatistics
    cc_half
        The limit.

    Returns
    -------
    float or None
        The resolution of the data where CC1/2 stays above the limit; None with fewer than four significant shells.

    Notes
    -----
    Fits 1/2 (1 - tanh((s - s0) / r)), s = 1/d^2, weighted by the number of pairs; Brewster (2018), J. Appl. Cryst. 51,
    1.
    """
    use = [s for s in statistics.shells if s.cc_half_significant]
    if len(use) < 4:
        return None
    from scipy.optimize import curve_fit

    s = np.array([0.5 * (x.d_max**-2 + x.d_min**-2) for x in use])
    cc = np.array([x.cc_half for x in use])
    error = np.array([1.0 / np.sqrt(x.n_half - 3) if x.n_half > 4 else 100.0 for x in use])

    def fall(x: np.ndarray, centre: float, width: float) -> np.ndarray:
        return np.asarray(0.5 * (1.0 - np.tanh((x - centre) / width)))

    try:
        (centre, width), _ = curve_fit(fall, s, cc, p0=(1.2 * s.max(), 0.4 * s.max()), sigma=error, maxfev=2000)
    except RuntimeError:
        return None
    if width <= 0:
        return statistics.overall.d_min
    limit = centre + width * np.arctanh(1.0 - 2.0 * cc_half)
    return max(float(1.0 / np.sqrt(limit)), statistics.overall.d_min) if limit > 0 else None
