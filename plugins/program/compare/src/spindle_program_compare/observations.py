"""The observations of a contestant as arrays, and which of two contestants are the same."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gemmi
import numpy as np

from spindle.models import Experiments
from spindle.table import ReflectionTable
from spindle_lib_comparison import observed_intensities, operator_text, pair_by_place
from spindle_lib_comparison.matching import is_symmetry

from .contestant import Contestant, Stage

__all__ = ["Observations", "SamePlaces", "observations", "same_places"]


@dataclass(frozen=True)
class Observations:
    """Measured reflections (n,).

    Attributes
    ----------
    kind : str
        "prf", "sum", "scale" or "merged": what the intensities are.
    rows : (n,) int64
        In the table.
    hkl : (n, 3) int64
    panel, sweep, experiment : (n,) int64
    place : (n, 3) float64
        Predicted, px, px, images.
    d, intensity, sigma : (n,) float64
    sweeps : list of str
        Names of the sweeps; empty ones have none.
    width_deg : float
        Rotation of an image.
    group : gemmi.SpaceGroup
    cell : (6,) float64 or None
        Of merged reflections.
    """

    kind: str
    rows: np.ndarray
    hkl: np.ndarray
    panel: np.ndarray
    sweep: np.ndarray
    experiment: np.ndarray
    place: np.ndarray
    d: np.ndarray
    intensity: np.ndarray
    sigma: np.ndarray
    sweeps: list[str]
    width_deg: float
    group: gemmi.SpaceGroup
    cell: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rows)


def sweeps_of(experiments: Experiments) -> tuple[list[str], np.ndarray]:
    """Names of the sweeps, and the sweep of each experiment: crystals on the same images share one."""
    names: list[str] = []
    keys: list[Any] = []
    numbers = []
    for experiment in experiments:
        images, scan = experiment.imageset, experiment.scan
        name = ""
        if images is not None:
            name = Path(images.template or (images.paths[0] if images.paths else "")).name
        span = None if scan is None else (*scan.image_range, *(round(v, 4) for v in scan.oscillation_deg))
        key = (name, span) if name or span else id(experiment)
        if key not in keys:
            keys.append(key)
            names.append(name)
        numbers.append(keys.index(key))
    return names, np.array(numbers, np.int64)


def observations(contestant: Contestant, level: str) -> Observations | None:
    """Observations of the level "counts" or "scaled"; None where there are none."""
    stage: Stage | None = contestant.integrated if level == "counts" else contestant.scaled
    if stage is None or contestant.merged:
        return None
    table = stage.reflections
    for kind in ("prf", "sum") if level == "counts" else ("scale",):
        found = observed_intensities(table, kind)
        if found is not None and found[2].any():
            return _arrays(stage, table, kind, *found)
    return None


def _arrays(
    stage: Stage, table: ReflectionTable, kind: str, intensity: np.ndarray, sigma: np.ndarray, usable: np.ndarray
) -> Observations | None:
    place = _places(table)
    hkl = table["miller_index"].astype(np.int64)
    n = len(stage.experiments)
    keep = usable & np.any(hkl != 0, axis=1) & np.isfinite(place).all(axis=1) & (table["id"] >= 0) & (table["id"] < n)
    keep &= np.isfinite(intensity) & np.isfinite(sigma) & (sigma > 0)
    rows = np.flatnonzero(keep)
    if not len(rows):
        return None
    names, sweep = sweeps_of(stage.experiments)
    experiment = table["id"][rows].astype(np.int64)
    crystal = next(e.crystal for e in stage.experiments if e.crystal is not None)
    widths = [abs(e.scan.oscillation_deg[1]) for e in stage.experiments if e.scan is not None]
    return Observations(
        kind, rows, hkl[rows],
        table["panel"][rows].astype(np.int64) if "panel" in table else np.zeros(len(rows), np.int64),
        sweep[experiment], experiment, place[rows], _resolution(stage, table, rows, experiment, hkl),
        intensity[rows].astype(float), sigma[rows].astype(float), names, float(np.median(widths)) if widths else 1.0,
        crystal.space_group,
    )  # fmt: skip


def _places(table: ReflectionTable) -> np.ndarray:
    """(n, 3): predicted places, or observed ones of programs that do not tell those."""
    for name in ("xyzcal.px", "xyzobs.px.value"):
        if name in table and np.any(table[name] != 0):
            return np.asarray(table[name], dtype=float)
    return np.full((len(table), 3), np.nan)


def _resolution(
    stage: Stage, table: ReflectionTable, rows: np.ndarray, experiment: np.ndarray, hkl: np.ndarray
) -> np.ndarray:
    if "d" in table and np.all(table["d"][rows] > 0):
        return np.asarray(table["d"][rows], dtype=float)
    d = np.zeros(len(rows))
    for k in np.unique(experiment):
        crystal = stage.experiments[int(k)].crystal
        if crystal is not None:
            mine = experiment == k
            d[mine] = 1.0 / np.linalg.norm(hkl[rows[mine]] @ crystal.A.T, axis=1)
    return d


@dataclass(frozen=True)
class SamePlaces:
    """Observations that two contestants have both.

    Attributes
    ----------
    first, second : (m,) int64
        Positions in their `Observations`.
    notes : list of str
        How their axes or space groups differ, and what did not fit.
    """

    first: np.ndarray
    second: np.ndarray
    notes: list[str]


def same_places(a: Observations, b: Observations, names: tuple[str, str]) -> SamePlaces:
    """Which observations of two contestants are the same, by sweep, place and index."""
    firsts, seconds = [], []
    operators: dict[str, np.ndarray] = {}
    disagree = near = 0
    for k in np.unique(a.experiment):
        mine = np.flatnonzero(a.experiment == k)
        sweep = int(a.sweep[mine[0]])
        theirs = np.flatnonzero(b.sweep == _same_sweep(a.sweeps, sweep, b.sweeps))
        pairs = pair_by_place(
            a.panel[mine], a.place[mine], a.hkl[mine], b.panel[theirs], b.place[theirs], b.hkl[theirs], a.width_deg
        )
        near += pairs.n_near
        if not len(pairs):
            continue
        disagree += pairs.n_disagree
        firsts.append(mine[pairs.first])
        seconds.append(theirs[pairs.second])
        operators.setdefault(operator_text(pairs.reindex), pairs.reindex)
    empty = np.zeros(0, np.int64)
    first = np.concatenate(firsts) if firsts else empty
    second = np.concatenate(seconds) if seconds else empty
    return SamePlaces(first, second, _notes(a, b, names, operators, len(first), near, disagree))


def _same_sweep(mine: list[str], sweep: int, theirs: list[str]) -> int:
    """The sweep of the other with images of the same name, else of the same number."""
    name = mine[sweep]
    if name and mine.count(name) == 1 and theirs.count(name) == 1:
        return theirs.index(name)
    return sweep if len(theirs) > sweep else len(theirs) - 1


def _notes(
    a: Observations, b: Observations, names: tuple[str, str], operators: dict[str, np.ndarray], n: int, near: int, disagree: int
) -> list[str]:  # fmt: skip
    notes = []
    if not n:
        notes.append(f"{names[0]} and {names[1]} share no reflections: {near} are near each other on the images")
    if n and disagree > 0.05 * near:
        notes.append(
            f"{disagree} of {near} reflections of {names[0]} and {names[1]} are at the same place but have indices that do not fit; left out"
        )
    for text, matrix in operators.items():
        if text == "h,k,l":
            continue
        how = (
            "an operation of its point group: nothing else changes"
            if is_symmetry(matrix, a.group)
            else "another choice of axes, allowed for here; it is no symmetry of its space group"
        )
        notes.append(f"{names[1]} has the indices {text} of {names[0]}, {how}")
    if a.kind != "scale":  # nothing is merged
        return notes
    if a.group.point_group_hm() != b.group.point_group_hm():
        notes.append(
            f"{names[0]} is in {a.group.xhm()}, {names[1]} in {b.group.xhm()}: other equivalents are merged, so their merging statistics do not compare"
        )
    elif a.group.number != b.group.number:
        notes.append(
            f"{names[0]} is in {a.group.xhm()}, {names[1]} in {b.group.xhm()}: the same point group, so their statistics compare"
        )
    return notes
