"""Which predictions were observed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from spindle.models import Experiments
from spindle.table import ReflectionTable
from spindle_lib_spots.reference import MAX_DISTANCE, match

from .predictions import Predictions

__all__ = ["Observed", "find_observed"]

MATCHED = ("id", "miller_index", "panel", "entering", "xyzcal.px")


@dataclass(frozen=True)
class Observed:
    """Spots that are predicted.

    Attributes
    ----------
    seen : ReflectionTable
        Their columns ``MATCHED``, as they were when they were found.
    rows_of : dict of int to (k,) int64
        Those of each experiment.
    partners : list of (which, partner), or None
        What `on` says of each batch, where predictions are kept.
    """

    seen: ReflectionTable
    rows_of: dict[int, np.ndarray]
    partners: list[tuple[np.ndarray, np.ndarray]] | None = None

    def on(self, number: int, batch: range, table: ReflectionTable) -> tuple[np.ndarray, np.ndarray]:
        """Spots (k,) int64 of a batch, and their rows (k,) int64 in its table of predictions."""
        if self.partners is not None:
            return self.partners[number]
        mine = np.sort(np.concatenate([self.rows_of.get(i, np.zeros(0, np.int64)) for i in batch]))
        which, partner = match(table, self.seen.select(mine))
        return mine[which], partner


def find_observed(
    predictions: Predictions, experiments: Experiments, reference: ReflectionTable
) -> tuple[np.ndarray, Observed]:
    """Which spots are predicted.

    Where predictions are not kept, those far from all spots are not made for it: most are of the padding.

    Parameters
    ----------
    predictions : Predictions
    experiments : Experiments
    reference : ReflectionTable
        With the columns ``MATCHED``.

    Returns
    -------
    rows : (m,) int64
        Rows of the reference spots that are predicted, ascending.
    observed : Observed
        Of these m.
    """
    seen = ReflectionTable({name: reference[name] for name in MATCHED})
    every = Observed(seen, seen.rows_by_experiment())
    keeps = predictions.keeps
    walk = predictions if keeps else predictions.near(_farthest(experiments, every))
    found = [every.on(k, batch, table) for k, (batch, table) in enumerate(walk)]
    rows = np.sort(np.concatenate([which for which, _ in found]))
    seen = seen.select(rows)
    observed = Observed(seen, seen.rows_by_experiment())
    if keeps:
        partners = [(np.searchsorted(rows, which), partner) for which, partner in found]
        observed = replace(observed, partners=partners)
    return rows, observed


def _farthest(experiments: Experiments, spots: Observed) -> np.ndarray:
    """(n,) float64, radians: how far outside its scan a prediction of each experiment may belong to a spot; an image to spare."""
    out = np.zeros(len(experiments))
    z = spots.seen["xyzcal.px"][:, 2]
    for i, rows in spots.rows_of.items():
        scan = experiments[i].scan
        if scan is not None:
            first, last = scan.array_range
            images = max(first - z[rows].min(), z[rows].max() - last, -MAX_DISTANCE) + MAX_DISTANCE + 1.0
            out[i] = images * abs(scan.oscillation[1])
    return out
