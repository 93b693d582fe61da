"""Contestants against each other, on the reflections that both have."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spindle_lib_comparison import PairStatistics, compare_pairs, differences_by
from spindle_lib_merging import MergingStatistics, correlation, resolution_shells

from .contestant import Contestant
from .measures import statistics_on
from .merged import merged_observations, same_indices
from .observations import Observations, SamePlaces, observations, same_places

__all__ = ["Duel", "Level", "common_statistics", "compare_level", "twins"]


#: Of fewer reflections a slope and a correlation mean nothing.
FEWEST_OF_DUEL = 3


@dataclass(frozen=True)
class Duel:
    """Two contestants.

    Attributes
    ----------
    first, second : str
    kinds : (str, str)
        What the intensities are.
    statistics : PairStatistics
        The second against the first.
    along : dict of str to dict of arrays
        Differences in units of sigma along intensity (I / sigma), resolution (1/d^2), image, fast and slow.
    shells : dict of arrays
        "d_max", "d_min", "n", "cc" by resolution.
    identical : bool
        Whether both have the same reflections with the same intensities and sigmas, to the last digit.
    """

    first: str
    second: str
    kinds: tuple[str, str]
    statistics: PairStatistics
    along: dict[str, dict[str, np.ndarray]]
    shells: dict[str, np.ndarray]
    identical: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "first": self.first, "second": self.second, "kinds": list(self.kinds), **self.statistics.as_dict(),
            "along": {k: {n: v.tolist() for n, v in d.items()} for k, d in self.along.items()},
            "shells": {k: v.tolist() for k, v in self.shells.items()}, "identical": self.identical,
        }  # fmt: skip


@dataclass
class Level:
    """All pairs at one level of processing.

    Attributes
    ----------
    name : "counts", "scaled" or "merged"
    found : dict of str to Observations
        By contestant.
    duels : list of Duel
    notes : list of str
    common : dict of str to (m,) int64
        Positions of the observations that all have, in the same order for all.
    """

    name: str
    found: dict[str, Observations] = field(default_factory=dict)
    duels: list[Duel] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    common: dict[str, np.ndarray] = field(default_factory=dict)


def compare_level(
    contestants: list[Contestant], level: str, n_bins: int, n_shells: int, n_bootstrap: int, seed: int
) -> Level:
    """Compare all contestants that have intensities of a level, each with each."""
    result = Level(level)
    is_merged = level == "merged"
    for contestant in contestants:
        found = merged_observations(contestant) if is_merged else observations(contestant, level)
        if found is not None:
            result.found[contestant.name] = found
    names = list(result.found)
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            a, b = result.found[first], result.found[second]
            same = (same_indices if is_merged else same_places)(a, b, (first, second))
            if i == 0 or not len(same.first):  # axes of all are told by those of the first
                result.notes += same.notes
            if len(same.first) >= FEWEST_OF_DUEL:
                result.duels.append(_duel(a, b, same, (first, second), n_bins, n_shells, n_bootstrap, seed))
            if i == 0:
                _keep_common(result, first, second, same)
    if len(names) == 1:
        result.common = {names[0]: np.arange(len(result.found[names[0]]))}
    return result


def _keep_common(result: Level, first: str, second: str, same: SamePlaces) -> None:
    """Narrow what all share so far, in terms of the first contestant, to what the second has too."""
    a = result.found[first]
    partner = np.full(len(a), -1, np.int64)
    partner[same.first] = same.second
    common = result.common or {first: np.arange(len(a))}
    has = partner[common[first]] >= 0
    result.common = {name: rows[has] for name, rows in common.items()}
    result.common[second] = partner[result.common[first]]


def _duel(
    a: Observations, b: Observations, same: SamePlaces, names: tuple[str, str], n_bins: int, n_shells: int, n_bootstrap: int, seed: int
) -> Duel:  # fmt: skip
    i, j = same.first, same.second
    x, sx, y, sy = a.intensity[i], a.sigma[i], b.intensity[j], b.sigma[j]
    statistics = compare_pairs(x, sx, y, sy, n_bootstrap, seed)
    slope = statistics.slope if np.isfinite(statistics.slope) else 1.0
    z = np.clip((y - slope * x) / np.sqrt(0.5 * (sy**2 + (slope * sx) ** 2)), -10, 10)
    d = a.d[i]
    along = {"signal": 0.5 * (x / sx + y / sy), "inverse_d_squared": d**-2.0}
    if a.kind != "merged":
        along |= {"image": a.place[i, 2], "fast": a.place[i, 0], "slow": a.place[i, 1]}
    parts = np.array_split(np.argsort(-d, kind="stable"), max(1, min(n_shells, len(d) // 10)))
    shells = {
        "d_max": np.array([d[p].max() for p in parts]), "d_min": np.array([d[p].min() for p in parts]),
        "n": np.array([len(p) for p in parts]), "cc": np.array([correlation(x[p], y[p]) for p in parts]),
    }  # fmt: skip
    identical = len(a) == len(b) and all(
        np.array_equal(left, right, equal_nan=True)
        for left, right in ((a.intensity, b.intensity), (a.sigma, b.sigma), (a.place, b.place))
    )
    return Duel(
        *names,
        (a.kind, b.kind),
        statistics,
        {k: differences_by(v, z, n_bins) for k, v in along.items()},
        shells,
        identical,
    )


def twins(levels: list[Level]) -> list[list[str]]:
    """Groups of contestants whose results are the same to the last digit, at the last level that a pair has."""
    last = {(duel.first, duel.second): duel.identical for level in levels for duel in level.duels}
    groups: list[list[str]] = []
    for first, second in (pair for pair, identical in last.items() if identical):
        group = next((g for g in groups if first in g), None)
        if group is None:
            groups.append([first, second])
        elif second not in group:
            group.append(second)
    return groups


def common_statistics(level: Level, contestants: list[Contestant], n_shells: int) -> dict[str, MergingStatistics]:
    """Merging statistics of each contestant on the scaled observations that all have, in the same shells."""
    if not level.common:
        return {}
    first = next(iter(level.common))
    rows = level.common[first]
    if len(rows) < 2 * n_shells:
        return {}
    edges = resolution_shells(level.found[first].d[rows], n_shells)
    edges = edges * np.linspace(1.001, 0.999, len(edges))  # cells differ a little
    found = {}
    for contestant in contestants:
        if contestant.name in level.common and contestant.scaled is not None:
            found[contestant.name] = statistics_on(
                contestant.scaled, level.found[contestant.name], level.common[contestant.name], edges
            )
    return found
