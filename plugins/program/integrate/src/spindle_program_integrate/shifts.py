"""Where strong spots are seen beside their predictions, and predictions moved by what they say nearby."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from spindle.models import Experiments
from spindle.table import ReflectionTable, rows_by_value

__all__ = ["Shifts", "learn_shifts"]

NEIGHBOURS = 15
FEWEST = 200
MOST_TAUGHT = 200_000
LEAST_GAIN = 0.15  # of the squared residuals; less is not worth a change


@dataclass(frozen=True)
class Shifts:
    """By how much predictions move.

    Attributes
    ----------
    detectors : (n,) int64
        Number of the detector of each experiment.
    n_panels : int
    taught : dict of int to (cKDTree, (m, 2) float64)
        By detector and panel, strong spots and what they say. Other panels stay.
    own : (r, 2) float64
        What the strong spots themselves are moved by.
    """

    detectors: np.ndarray
    n_panels: int
    taught: dict[int, tuple[cKDTree, np.ndarray]]
    own: np.ndarray

    def moved(self, predicted: ReflectionTable) -> ReflectionTable:
        """Predictions with ``xyzcal.px`` moved along fast and slow."""
        new = predicted["xyzcal.px"].copy()
        for place, rows in rows_by_value(_places(predicted, self.detectors, self.n_panels)).items():
            if place in self.taught:
                new[rows, :2] += _at(*self.taught[place], new[rows, :2], 0)
        return _with_positions(predicted, new)

    def moved_spots(self, reference: ReflectionTable) -> ReflectionTable:
        """The strong spots that taught, each moved by what the others say."""
        new = reference["xyzcal.px"].copy()
        new[:, :2] += self.own
        return _with_positions(reference, new)


def learn_shifts(experiments: Experiments, reference: ReflectionTable, log: logging.Logger) -> Shifts | None:
    """Learn where predictions should move.

    Panels whose parts are displaced show it in the positions of strong spots, observed less predicted, which are alike nearby. Each
    prediction is moved by the median of its nearest strong spots on the same panel of the same detector, where that makes predictions
    better: where residuals of spots are smaller after they were moved by the median of the others.

    Parameters
    ----------
    experiments : Experiments
    reference : ReflectionTable
        Indexed spots with ``xyzobs.px.value``.
    log : logging.Logger

    Returns
    -------
    Shifts or None
        None where no panel gains by it.
    """
    if "xyzobs.px.value" not in reference:
        return None
    detectors = {id(d): k for k, d in enumerate(experiments.unique("detector"))}
    number = np.array([detectors[id(e.detector)] for e in experiments], np.int64)
    n_panels = max(len(e.detector) for e in experiments)
    residual = reference["xyzobs.px.value"][:, :2] - reference["xyzcal.px"][:, :2]
    before = after = count = 0.0
    taught, own = {}, np.zeros((len(reference), 2))
    for place, rows in rows_by_value(_places(reference, number, n_panels)).items():
        found = _of_panel(reference["xyzcal.px"][rows, :2], residual[rows])
        if found is None:
            continue
        tree, shifts, own[rows], old_square, new_square = found
        before, after, count = before + old_square * len(rows), after + new_square * len(rows), count + len(rows)
        taught[place] = tree, shifts
    if not count:
        return None
    log.info(
        "Strong spots are seen beside their predictions, differently from place to place: predictions are moved by what the %d nearest "
        "say, which takes the median distance from %.2f to %.2f px (parts of the detector are displaced; spindle refine learns by how much "
        "with detector.modules=True)",
        NEIGHBOURS, np.sqrt(before / count), np.sqrt(after / count),
    )  # fmt: skip
    return Shifts(number, n_panels, taught, own)


def _places(table: ReflectionTable, detectors: np.ndarray, n_panels: int) -> np.ndarray:
    """(n,) int64: one number for each panel of each detector."""
    places: np.ndarray = detectors[table["id"]] * n_panels + table["panel"].astype(np.int64)
    return places


def _with_positions(table: ReflectionTable, xyz: np.ndarray) -> ReflectionTable:
    table = table.view()
    table["xyzcal.px"] = xyz
    return table


def _at(tree: cKDTree, shifts: np.ndarray, xy: np.ndarray, skip: int) -> np.ndarray:
    """(n, 2) float64: the median of the nearest shifts, the first ``skip`` left out."""
    out = np.zeros_like(xy)
    for begin in range(0, len(xy), 50_000):
        part = slice(begin, begin + 50_000)
        _, near = tree.query(xy[part], k=np.arange(1 + skip, 1 + skip + NEIGHBOURS))
        out[part] = np.median(shifts[near], axis=1)
    return out


def _of_panel(
    xy: np.ndarray, residual: np.ndarray
) -> tuple[cKDTree, np.ndarray, np.ndarray, float, float] | None:  # fmt: skip
    """Tree of spots, their shifts, what each is moved by; medians of squared residuals before and after."""
    if len(xy) < FEWEST:
        return None
    taught = np.arange(0, len(xy), max(1, -(-len(xy) // MOST_TAUGHT)))
    tree, shifts = cKDTree(xy[taught]), residual[taught]
    others = _at(tree, shifts, xy[taught], 1)
    old = float(np.median(np.sum(shifts**2, axis=1)))
    new = float(np.median(np.sum((shifts - others) ** 2, axis=1)))
    if new > (1.0 - LEAST_GAIN) * old:
        return None
    return tree, shifts, _at(tree, shifts, xy, 1), old, new
