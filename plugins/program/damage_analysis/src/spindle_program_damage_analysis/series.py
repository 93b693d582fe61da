"""Data of successive ranges of doses: their statistics, and files of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from spindle.errors import UserError
from spindle.files import write_experiments, write_reflections
from spindle.models import Experiments
from spindle.table import ReflectionTable
from spindle_lib_merging import MergingStatistics, Unmerged, merging_statistics, resolution_of, resolution_shells

__all__ = ["Part", "parts_of", "series_files"]

SHELLS = 20
#: A range of doses with fewer observations has no statistics by shell.
LEAST = 200
MOST_PARTS = 200


@dataclass(slots=True)
class Part:
    """Observations from a dose to another.

    Attributes
    ----------
    first, last : float
        Doses, the second one not included.
    statistics : MergingStatistics or None
        None with too few observations.
    """

    first: float
    last: float
    statistics: MergingStatistics | None

    @property
    def name(self) -> str:
        """As legends have it."""
        return f"{self.first:g} to {self.last:g}"


def parts_of(data: Unmerged, dose: np.ndarray, size: float, accumulated: bool) -> list[Part]:
    """Cut the doses into ranges of `size`, or into ranges from the beginning that grow by it.

    All are judged in shells of the same limits.
    """
    n = int(np.floor((float(dose.max()) - 1e-9 * size) / size)) + 1
    if n > MOST_PARTS:
        raise UserError(
            f"damage_analysis: damage_series.dose_group_size={size:g} makes {n} groups of doses up to {dose.max():g}; at most "
            f"{MOST_PARTS} are shown, so take a larger one"
        )
    edges = resolution_shells(resolution_of(data.hkl, data.cell), SHELLS)
    found = []
    for k in range(n):
        first, last = (0.0 if accumulated else k * size), (k + 1) * size
        # the first image has the dose 1, so that a group of ten holds images 1 to 10
        rows = np.flatnonzero((dose > first) & (dose <= last))
        statistics = None
        if len(rows) >= LEAST:
            some = data.select(rows)
            statistics = merging_statistics(some.hkl, some.intensity, some.variance, some.cell, some.group, edges=edges)
        found.append(Part(first, last, statistics))
    return found


def series_files(
    experiments: Experiments, table: ReflectionTable, dose: np.ndarray, parts: list[Part], stem: str
) -> dict[str, Callable[[Path], None]]:
    """Writers of the reflections of each part, with all experiments.

    Parameters
    ----------
    experiments : Experiments
    table : ReflectionTable
    dose : (n,) float64
        Of its rows.
    parts : list of Part
    stem : str
        Names begin with it.
    """
    files: dict[str, Callable[[Path], Any]] = {}
    for part in parts:
        name = f"{stem}_{part.first:g}_{part.last:g}"
        files[f"{name}.expt"] = partial(write_experiments, experiments)
        files[f"{name}.refl"] = partial(_write_rows, table, (dose > part.first) & (dose <= part.last))
    return files


def _write_rows(table: ReflectionTable, rows: np.ndarray, path: Path) -> None:
    write_reflections(table.select(rows), path)
