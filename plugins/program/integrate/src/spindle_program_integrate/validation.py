"""Cross-validation of reference profiles: strong spots fitted with profiles that were learned from the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from spindle.models import Experiments
from spindle.report import Table
from spindle.table import ReflectionTable, Shoeboxes

__all__ = ["Validation"]


class Validation:
    """Keeps the spots that profiles are learned from, and validates profiles with them.

    Parameters
    ----------
    n_parts, smallest : int
        Parts, and the fewest spots of a part; with fewer there is no validation.
    """

    def __init__(self, n_parts: int, smallest: int) -> None:
        self.n_parts, self.smallest = n_parts, smallest
        self._tables: list[ReflectionTable] = []
        self._boxes: list[Shoeboxes] = []

    def add(self, table: ReflectionTable, boxes: Shoeboxes) -> None:
        """Take in spots that a fitter learns from."""
        self._tables.append(table)
        self._boxes.append(boxes)

    def table(self, profile: Any, experiments: Experiments, map: Callable[..., Any]) -> Table | None:
        """How well the profiles of each part of the spots, learned from the other parts, fit; None with too few spots.

        Parameters
        ----------
        profile : Handle
            The profile plugin.
        experiments : Experiments
            With profile models.
        map
            See `ProfileFitter.finish`.
        """
        n = sum(len(t) for t in self._tables)
        if n < self.n_parts * self.smallest:
            return None
        spots, boxes = ReflectionTable.concatenate(self._tables), Shoeboxes.concatenate(self._boxes)
        part = np.random.default_rng(0).permutation(n) % self.n_parts
        rows = []
        for k in range(self.n_parts):
            mine, others = np.flatnonzero(part == k), np.flatnonzero(part != k)
            fitter = profile.make_fitter(experiments=experiments)
            learned = fitter.learn(spots.select(others), boxes.select(others))
            fitter.finish(map)
            held = boxes.select(mine)
            fit = fitter.fit(spots.select(mine), held, np.full(len(mine), -1.0), np.zeros(len(mine)))
            good = np.asarray(fit.success)
            inside = (held.mask & 5) == 5
            owner = np.repeat(np.arange(len(mine)), np.diff(held.offsets))
            total = np.bincount(owner[inside], (held.data - held.background)[inside], len(mine))
            away = (fit.value / np.where(total > 0, total, 1.0) - 1.0)[good & (total > 0)]
            rows.append(
                [k, int(np.count_nonzero(learned)), len(mine), int(good.sum()), *_rounded(fit.correlation[good], away)]
            )
        headers = ["Part", "Learned from", "Validated", "Fitted", "Mean CC", "rms (fit - sum) / sum"]
        return Table("Validation of reference profiles by parts of the spots", headers, rows, "integrate_validation")


def _rounded(correlation: np.ndarray, away: np.ndarray) -> list[float | None]:
    return [
        round(float(correlation.mean()), 4) if len(correlation) else None,
        round(float(np.sqrt(np.mean(away**2))), 4) if len(away) else None,
    ]
