"""How the intensities of equivalents part with the dose.

Rcp and Scp: Winter et al. (2019), Acta Cryst. D75, 242-261. Rd: Diederichs (2006), Acta Cryst. D62, 96-101.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spindle.symmetry import is_centric, is_systematically_absent, unique_indices
from spindle_lib_merging import Groups, Unmerged, group_equivalents, resolution_of
from spindle_lib_radiation_damage import first_doses, pair_sums

__all__ = ["DamageCurves", "damage_curves", "suggested_cut"]

#: <|x - y|> / sigma of two normally distributed numbers.
NORMAL = 2.0 / np.sqrt(np.pi)
#: A shell with fewer observations in pairs says nothing.
LEAST_PAIRED = 100
#: Scp, which is 1 without damage, has grown by so much where a cut is suggested,
GROWTH = 0.2
#: over what it is where so much of the complete set has been measured.
SETTLED = 0.5
#: Doses that are tried as the onset.
MOST_BREAKS = 200
#: A line through Rd that rises by less than so many standard errors is no damage.
SURE = 3.0


@dataclass(slots=True)
class DamageCurves:
    """Statistics at each dose.

    Attributes
    ----------
    dose : (n,) float64
        Doses up to which observations count.
    distance : (n,) float64
        Differences of doses, for `rd`.
    edges : (n_shells + 1,) float64, angstrom
        From low to high resolution.
    rcp, scp, completeness : (n,) float64
        Of all reflections; NaN where there is nothing.
    rcp_shells, scp_shells, completeness_shells : (n_shells, n) float64
    rd : (n,) float64
        By difference of doses, not cumulated.
    rd_weight : (n,) float64
        Sum of the intensities behind it.
    added, added_weight : (n,) float64
        What Rcp would be of the pairs that each dose adds, and the sum of the intensities behind it.
    anomalous : dict of str to (n,) float64
        Completeness of I+, of I- and of pairs of both; empty unless they are kept apart.
    """

    dose: np.ndarray
    distance: np.ndarray
    edges: np.ndarray
    rcp: np.ndarray
    scp: np.ndarray
    completeness: np.ndarray
    rcp_shells: np.ndarray
    scp_shells: np.ndarray
    completeness_shells: np.ndarray
    rd: np.ndarray
    rd_weight: np.ndarray
    added: np.ndarray
    added_weight: np.ndarray
    anomalous: dict[str, np.ndarray]


def damage_curves(
    data: Unmerged, dose: np.ndarray, width: float, n_shells: int = 8, anomalous: bool = False, low: float | None = None
) -> DamageCurves:
    """Compare equivalents by the doses at which they were measured.

    Parameters
    ----------
    data : Unmerged
    dose : (n,) float64
        Of each observation.
    width : float
        Step of the curves.
    n_shells : int
        Equal steps of 1/d^2.
    anomalous : bool
        Keep Friedel mates apart.
    low : float, optional
        Dose at which the first step ends; by default the least one.

    Notes
    -----
    Systematic absences of screw axes and glides are no part of the completeness.
    """
    base = (float(dose.min()) if low is None else low) - width
    step = np.floor((dose - base) / width + 1e-9).astype(np.int64)
    n = int(step.max()) + 1
    groups = group_equivalents(data.hkl, data.group)
    d = resolution_of(groups.hkl, data.cell)
    x = d**-2.0
    edges = np.linspace(x.min(), x.max(), n_shells + 1)
    shell = _shell(x, edges)
    whole = np.arange(groups.n_groups)
    compared = groups
    if anomalous:
        compared, whole = groups.with_friedel_apart()
    order = compared.order
    signal = data.intensity[order] / np.sqrt(data.variance[order])
    ordered = np.ascontiguousarray(step[order])
    sums = pair_sums(compared.offsets, shell[whole], ordered, data.intensity[order], signal, n_shells, n)
    difference, total, noise, count = sums.difference, sums.total, sums.noise, sums.count
    rcp_shells = _ratio(difference.cumsum(axis=1), total.cumsum(axis=1))
    paired = count.cumsum(axis=1)
    strength = _ratio(noise.cumsum(axis=1), paired)
    scp_shells = np.where(paired > LEAST_PAIRED, rcp_shells * strength / NORMAL, np.nan)
    said = np.isfinite(scp_shells)
    scp = _ratio(np.where(said, scp_shells, 0.0).sum(axis=0), said.sum(axis=0))
    completeness, by_shell, mates = _completeness(data, groups, compared, whole, ordered, edges, n, anomalous)
    weight = total.sum(axis=0)
    added = _ratio(difference.sum(axis=0), weight)
    return DamageCurves(
        base + width * np.arange(n), width * np.arange(n), edges**-0.5,
        _ratio(difference.sum(axis=0).cumsum(), total.sum(axis=0).cumsum()), scp, completeness, rcp_shells, scp_shells, by_shell,
        _ratio(sums.apart, sums.apart_total), sums.apart_total,
        added,
        weight,
        mates,
    )  # fmt: skip


def _shell(x: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """(n,) int64: shell of 1/d^2, -1 outside."""
    place = np.searchsorted(edges, x, side="right") - 1
    place = np.where(x >= edges[-1], len(edges) - 2, place)
    return np.where((x < edges[0] * (1 - 1e-9)) | (x > edges[-1] * (1 + 1e-9)), -1, np.maximum(place, 0)).astype(
        np.int64
    )


def _completeness(
    data: Unmerged, groups: Groups, compared: Groups, whole: np.ndarray, step: np.ndarray, edges: np.ndarray, n: int,
    anomalous: bool,
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:  # fmt: skip
    """Fractions of the possible reflections that have been seen: overall (n,), by shell (n_shells, n), and of mates."""
    hkl = groups.hkl
    first = np.zeros(len(whole), dtype=np.int64)
    first_doses(compared.offsets, step, first)
    earliest = np.full(len(hkl), n, dtype=np.int64)
    np.minimum.at(earliest, whole, first)
    complete = unique_indices(data.cell, data.group, float(edges[-1] ** -0.5) * (1 - 1e-7))
    x_complete = resolution_of(complete, data.cell) ** -2.0
    complete, x_complete = (
        complete[x_complete >= edges[0] * (1 - 1e-9)],
        x_complete[x_complete >= edges[0] * (1 - 1e-9)],
    )
    n_shells = len(edges) - 1
    possible = np.bincount(_shell(x_complete, edges), minlength=n_shells).astype(float)
    present = ~is_systematically_absent(hkl, data.group)
    shell = _shell(resolution_of(hkl, data.cell) ** -2.0, edges)
    seen = np.zeros((n_shells, n))
    np.add.at(seen, (shell[present], earliest[present]), 1.0)
    seen = seen.cumsum(axis=1)
    mates: dict[str, np.ndarray] = {}
    if anomalous:
        positive = (compared.hkl == hkl[whole]).all(axis=1)
        centric = is_centric(hkl, data.group)
        doses = np.full((2, len(hkl)), n, dtype=np.int64)
        for side, rows in enumerate((positive, ~positive)):
            np.minimum.at(doses[side], whole[rows], first[rows])
        doses[1, centric] = doses[0, centric]
        all_of = max(float(len(complete)), 1.0)
        both = doses.max(axis=0)
        for name, when in (("I+", doses[0]), ("I-", doses[1]), ("dI", both)):
            mates[name] = np.bincount(when[present], minlength=n + 1)[:n].cumsum() / all_of
    return seen.sum(axis=0) / max(float(possible.sum()), 1.0), _ratio(seen, np.repeat(possible[:, None], n, 1)), mates


def suggested_cut(curves: DamageCurves) -> float | None:
    """Largest dose to be kept: the one from which on what is added differs by a fifth more than before.

    None where Scp never grows by a fifth over what it was when half of the data were complete, or where Rd does not rise with the
    difference of doses: then there is no damage.
    """
    if not rises(curves):
        return None
    settled = np.flatnonzero(
        (curves.completeness >= SETTLED * np.nanmax(curves.completeness)) & np.isfinite(curves.scp)
    )
    if not len(settled):
        return None
    start = settled[0]
    grown = np.flatnonzero(curves.scp[start:] > curves.scp[start] + GROWTH)
    return _onset(curves, float(curves.dose[start + grown[0] - 1])) if len(grown) else None


def _onset(curves: DamageCurves, fallback: float) -> float:
    """Where differences begin to grow: the cumulated Scp lags behind, so a step and a bend are fitted to what each dose adds."""
    use = np.isfinite(curves.added) & (curves.added_weight > 0)
    x, y, w = curves.dose[use], curves.added[use], np.sqrt(curves.added_weight[use])
    best: tuple[float, float] | None = None
    if len(x) < 5:
        return fallback
    places = np.unique(np.linspace(0, len(x) - 2, min(len(x) - 1, MOST_BREAKS)).astype(int))
    for k in places:
        for shape in ((x > x[k]).astype(float), np.maximum(x - x[k], 0.0)):
            design = np.column_stack([np.ones(len(x)), shape]) * w[:, None]
            (level, slope), *_ = np.linalg.lstsq(design, y * w, rcond=None)
            if not (level > 0 and slope > 0):
                continue
            misfit = float(np.sum((w * (y - level - slope * shape)) ** 2))
            large = np.flatnonzero(slope * shape > GROWTH * level)
            if len(large) and large[0] > 0 and (best is None or misfit < best[0]):
                best = misfit, float(x[large[0] - 1])
    return fallback if best is None else min(best[1], fallback)


def rises(curves: DamageCurves) -> bool:
    """Whether Rd grows with the difference of doses by more than its scatter."""
    slope, error = slope_of_rd(curves)
    return bool(np.isfinite(slope) and slope > SURE * error and slope > 0)


def slope_of_rd(curves: DamageCurves) -> tuple[float, float]:
    """Slope of a line through Rd per unit of dose, and its standard error; NaN where there are too few points."""
    use = np.isfinite(curves.rd) & (curves.rd_weight > 0) & (curves.distance > 0)
    if use.sum() < 4:
        return float("nan"), float("nan")
    x, y, w = curves.distance[use], curves.rd[use], curves.rd_weight[use] / curves.rd_weight[use].sum()
    middle = w @ x
    spread = w @ (x - middle) ** 2
    if not spread > 0:
        return float("nan"), float("nan")
    slope = float((w @ ((x - middle) * y)) / spread)
    rest = y - (w @ y) - slope * (x - middle)
    error = float(np.sqrt((w**2 @ ((x - middle) ** 2 * rest**2)) / spread**2))
    return slope, error


def _ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    return np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=np.asarray(bottom) > 0)
