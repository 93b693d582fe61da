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
STEP = 4.0  # pixels between the places of a map
LEAST_GAIN = 0.15  # of the squared residuals; less is not worth a change


@dataclass(frozen=True)
class Nearest:
    """The median of the nearest strong spots of a panel.

    Attributes
    ----------
    tree : cKDTree
        Their positions.
    shifts : (m, 2) float64
        What they say.
    """

    tree: cKDTree
    shifts: np.ndarray

    def __call__(self, xy: np.ndarray, skip: int = 0) -> np.ndarray:
        """(n, 2) float64: what is said of positions (n, 2), the first ``skip`` spots left out."""
        out = np.zeros_like(xy)
        for begin in range(0, len(xy), 50_000):
            part = slice(begin, begin + 50_000)
            _, near = self.tree.query(xy[part], k=np.arange(1 + skip, 1 + skip + NEIGHBOURS))
            out[part] = np.median(self.shifts[near], axis=1)
        return out


@dataclass(frozen=True)
class Map:
    """The same at places `STEP` apart, for the predictions of so many sweeps that each place is asked for again and again.

    Attributes
    ----------
    origin : (2,) float64
        Position of the first place.
    shifts : (nx, ny, 2) float64
    """

    origin: np.ndarray
    shifts: np.ndarray

    @classmethod
    def of(cls, nearest: Nearest) -> Map:
        """What the spots say wherever there are some; further out as at the edge."""
        low, high = nearest.tree.mins, nearest.tree.maxes
        x, y = (np.arange(low[i], high[i] + STEP, STEP) for i in range(2))
        places = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1)
        return cls(low, nearest(places.reshape(-1, 2)).reshape(places.shape))

    def __call__(self, xy: np.ndarray) -> np.ndarray:
        """(n, 2) float64: what is said of positions (n, 2)."""
        last = np.array(self.shifts.shape[:2]) - 1
        at = np.clip(np.rint((xy - self.origin) / STEP).astype(np.int64), 0, last)
        return np.asarray(self.shifts[at[:, 0], at[:, 1]])


@dataclass(frozen=True)
class Shifts:
    """By how much predictions move.

    Attributes
    ----------
    detectors : (n,) int64
        Number of the detector of each experiment.
    n_panels : int
    taught : dict of int to Nearest or Map
        By detector and panel, what strong spots say. Other panels stay.
    own : (r, 2) float64
        What the strong spots themselves are moved by.
    """

    detectors: np.ndarray
    n_panels: int
    taught: dict[int, Nearest | Map]
    own: np.ndarray

    def moved(self, predicted: ReflectionTable) -> ReflectionTable:
        """Predictions with ``xyzcal.px`` moved along fast and slow."""
        new = predicted["xyzcal.px"].copy()
        for place, rows in rows_by_value(_places(predicted, self.detectors, self.n_panels)).items():
            if place in self.taught:
                new[rows, :2] += self.taught[place](new[rows, :2])
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
    taught: dict[int, Nearest | Map] = {}
    own = np.zeros((len(reference), 2))
    for place, rows in rows_by_value(_places(reference, number, n_panels)).items():
        found = _of_panel(reference["xyzcal.px"][rows, :2], residual[rows])
        if found is None:
            continue
        taught[place], own[rows], old_square, new_square = found
        before, after, count = before + old_square * len(rows), after + new_square * len(rows), count + len(rows)
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


def _of_panel(
    xy: np.ndarray, residual: np.ndarray
) -> tuple[Nearest | Map, np.ndarray, float, float] | None:  # fmt: skip
    """What predictions are moved by, what each spot is moved by; medians of squared residuals before and after."""
    if len(xy) < FEWEST:
        return None
    taught = np.arange(0, len(xy), max(1, -(-len(xy) // MOST_TAUGHT)))
    shifts = residual[taught]
    nearest = Nearest(cKDTree(xy[taught]), shifts)
    others = nearest(xy[taught], 1)
    old = float(np.median(np.sum(shifts**2, axis=1)))
    new = float(np.median(np.sum((shifts - others) ** 2, axis=1)))
    if new > (1.0 - LEAST_GAIN) * old:
        return None
    found = Map.of(nearest) if len(xy) > MOST_TAUGHT else nearest
    return found, nearest(xy, 1), old, new
