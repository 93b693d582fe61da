"""Who is best, and what that rests on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spindle_lib_merging import MergingStatistics

from .against_truth import AgainstTruth
from .contestant import Contestant

__all__ = ["FEWEST_PAIRS", "Ranking", "rank"]

#: A correlation of fewer pairs says nothing.
FEWEST_PAIRS = 20
#: Mean CC1/2 that differ by less are not told apart.
SAME_CORRELATION = 0.002


@dataclass(frozen=True)
class Ranking:
    """An order.

    Attributes
    ----------
    order : list of str
        The best first; those that failed, or cannot be ranked, are not in it.
    score : dict of str to float
    by : str
        Short name of the score.
    rests_on : str
        What the order rests on, in a sentence or two.
    places : dict of str to str
        "1=" for those that share the first place, "3" for the one after two of them. Those that the data do not tell from the best of a
        group share its place.
    blind : list of str
        The order without the truth, where there is one.
    """

    order: list[str]
    score: dict[str, float]
    by: str
    rests_on: str
    places: dict[str, str] = field(default_factory=dict)
    blind: tuple[str, ...] = ()

    @property
    def best(self) -> list[str]:
        """All that share the first place."""
        return [n for n in self.order if self.places[n] == self.places[self.order[0]]]


def rank(
    contestants: list[Contestant],
    numbers: dict[str, dict[str, Any]],
    truth: AgainstTruth | None,
    common: dict[str, MergingStatistics],
    comparable: bool,
) -> Ranking:
    """Rank the contestants that got as far as the furthest.

    Parameters
    ----------
    contestants : list of Contestant
    numbers : dict of str to dict
        Of `key_numbers`.
    truth : AgainstTruth or None
    common : dict of str to MergingStatistics
        On the observations that all have.
    comparable : bool
        Whether all merge the same equivalents.
    """
    blind = _blind(common) if comparable else {}
    if truth is not None:
        score = {n: r.efficiency for n, r in truth.rows.items() if np.isfinite(r.efficiency)}
        if score:
            order = _sorted(score)
            return Ranking(
                order, score, "efficiency",
                "the truth: efficiency is the least variance that counting statistics allow over the mean square of (found - true) counts, "
                f"on the {truth.n_common} reflections away from bad pixels that all contestants have, the overall scale left free",
                _places(order, {n: truth.rows[n].alike for n in order}), tuple(_sorted(blind)),
            )  # fmt: skip
        score = {n: float(r.n_correct) for n, r in truth.rows.items()}
        if score:
            return Ranking(
                _sorted(score), score, "correct",
                "the truth: spots or reflections that lie where the truth has one and have its index. More spots found and rightly indexed "
                "is better; how well they are predicted is in the column of places",
                _places(_sorted(score), _within(score, 0.0)),
            )  # fmt: skip
    if blind:
        return Ranking(
            _sorted(blind), blind, "mean CC1/2",
            "CC1/2, averaged over the resolution shells by their pairs, of the observations that all contestants have scaled. It sees noise, not bias: an "
            f"error that all equivalents share goes unseen. Differences of less than {SAME_CORRELATION} mean nothing",
            _places(_sorted(blind), _within(blind, SAME_CORRELATION)),
        )  # fmt: skip
    if not common:
        spots = {c.name: numbers[c.name].get("n_indexed") for c in contestants if not c.reason}
        score = {name: float(n) for name, n in spots.items() if n is not None}
        if score and not any(c.integrated for c in contestants):
            return Ranking(
                _sorted(score), score, "indexed spots",
                "the number of spots that are indexed, for want of intensities: more is better as long as the rms deviations do not grow",
                _places(_sorted(score), _within(score, 0.0)),
            )  # fmt: skip
    why = (
        "contestants merge different equivalents (their point groups differ), so that nothing says which is better; see the notes"
        if common and not comparable
        else "there are no scaled intensities that all contestants have, so nothing says which is better"
    )
    return Ranking([], {}, "", f"nothing: {why}")


def _blind(common: dict[str, MergingStatistics]) -> dict[str, float]:
    found = {}
    for name, statistics in common.items():
        shells = [s for s in statistics.shells if np.isfinite(s.cc_half) and s.n_half >= FEWEST_PAIRS]
        if shells:
            found[name] = float(np.average([s.cc_half for s in shells], weights=[s.n_half for s in shells]))
    return found


def _sorted(score: dict[str, float]) -> list[str]:
    return sorted(score, key=lambda name: -score[name])


def _within(score: dict[str, float], distance: float) -> dict[str, list[str]]:
    """Of each the others whose score is as near as that."""
    return {n: [m for m in score if m != n and abs(score[m] - score[n]) <= distance] for n in score}


def _places(order: list[str], alike: dict[str, list[str]]) -> dict[str, str]:
    """Places, shared by those that are like the best of their group."""
    groups: list[list[str]] = []
    for name in order:
        if groups and name in alike[groups[-1][0]]:
            groups[-1].append(name)
        else:
            groups.append([name])
    places: dict[str, str] = {}
    place = 1
    for group in groups:
        places |= dict.fromkeys(group, f"{place}=" if len(group) > 1 else str(place))
        place += len(group)
    return places
