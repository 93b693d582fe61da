"""Where strong spots are seen beside their predictions, and predictions moved by what they say nearby."""

from __future__ import annotations

import logging

import numpy as np
from scipy.spatial import cKDTree

from spindle.models import Experiments
from spindle.table import ReflectionTable, rows_by_value

__all__ = ["moved_predictions"]

NEIGHBOURS = 15
FEWEST = 200
MOST_TAUGHT = 200_000
LEAST_GAIN = 0.15  # of the squared residuals; less is not worth a change


def moved_predictions(
    experiments: Experiments, predicted: ReflectionTable, reference: ReflectionTable, log: logging.Logger
) -> tuple[ReflectionTable, ReflectionTable] | None:
    """Predictions and reference spots with ``xyzcal.px`` moved along fast and slow.

    Panels whose parts are displaced show it in the positions of strong spots, observed less predicted, which are alike nearby. Each
    prediction is moved by the median of its nearest strong spots on the same panel of the same detector, where that makes predictions
    better: where residuals of spots are smaller after they were moved by the median of the others.

    Parameters
    ----------
    experiments : Experiments
    predicted : ReflectionTable
    reference : ReflectionTable
        Indexed spots with ``xyzobs.px.value``.
    log : logging.Logger

    Returns
    -------
    (ReflectionTable, ReflectionTable) or None
        None where no panel gains by it.
    """
    if "xyzobs.px.value" not in reference:
        return None
    detectors = {id(d): k for k, d in enumerate(experiments.unique("detector"))}
    number = np.array([detectors[id(e.detector)] for e in experiments], np.int64)
    n_panels = max(len(e.detector) for e in experiments)
    places = [number[t["id"]] * n_panels + t["panel"].astype(np.int64) for t in (predicted, reference)]
    new = [t["xyzcal.px"].copy() for t in (predicted, reference)]
    residual = reference["xyzobs.px.value"][:, :2] - reference["xyzcal.px"][:, :2]
    rows_of = rows_by_value(places[0])
    before = after = count = 0.0
    for place, rows in rows_by_value(places[1]).items():
        found = _of_panel(reference["xyzcal.px"][rows, :2], residual[rows])
        if found is None:
            continue
        tree, shifts, own, old_square, new_square = found
        before, after, count = before + old_square * len(rows), after + new_square * len(rows), count + len(rows)
        new[1][rows, :2] += own
        mine = rows_of.get(place, np.zeros(0, np.int64))
        new[0][mine, :2] += _at(tree, shifts, predicted["xyzcal.px"][mine, :2], 0)
    if not count:
        return None
    log.info(
        "Strong spots are seen beside their predictions, differently from place to place: predictions are moved by what the %d nearest "
        "say, which takes the median distance from %.2f to %.2f px (parts of the detector are displaced; spindle refine learns by how much "
        "with detector.modules=True)",
        NEIGHBOURS, np.sqrt(before / count), np.sqrt(after / count),
    )  # fmt: skip
    tables = predicted.view(), reference.view()
    for table, xyz in zip(tables, new, strict=True):
        table["xyzcal.px"] = xyz
    return tables


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
