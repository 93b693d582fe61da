"""Observations as most formats hold them: one intensity, where and when it was measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from spindle.models import Experiments
from spindle.table import ReflectionTable
from spindle_lib_merging import Intensities, prepare_intensities

__all__ = ["HOLDS", "Observations", "experiment_name", "observations", "per_experiment"]

HOLDS = {"scale": "scaled", "prf": "profile-fitted, not scaled", "sum": "summed, not scaled"}


@dataclass(frozen=True, slots=True)
class Observations:
    """The observations of a file with one intensity each.

    Attributes
    ----------
    data : Intensities
    kind : "scale", "prf" or "sum"
        Which intensity is in `value`.
    value, sigma : (n,) float64
    """

    data: Intensities
    kind: str
    value: np.ndarray
    sigma: np.ndarray

    def __len__(self) -> int:
        return len(self.value)

    @property
    def table(self) -> ReflectionTable:
        """The rows."""
        return self.data.table

    @property
    def hkl(self) -> np.ndarray:
        """(n, 3) int32."""
        return np.asarray(self.table["miller_index"])

    @property
    def holds(self) -> str:
        """Which intensity, in words."""
        return HOLDS[self.kind]

    def column(self, name: str, default: float) -> np.ndarray:
        """(n,) float64: a column, or a constant where the table has none."""
        return np.asarray(self.table.get(name, np.full(len(self), default)), dtype=np.float64)

    def select(self, rows: np.ndarray) -> Observations:
        """Some rows, in their order."""
        data = Intensities(
            self.table.select(rows),
            self.data.kind,
            {k: v[rows] for k, v in self.data.values.items()},
            {k: v[rows] for k, v in self.data.variances.items()},
            self.data.dropped,
        )
        return Observations(data, self.kind, self.value[rows], self.sigma[rows])

    def messages(self, name: str) -> list[str]:
        """What the user should know of a file: how many observations, which intensity, what was left out."""
        said = [f"{name}: {len(self)} observations of {self.holds} intensity"]
        return said + [f"{n} reflections left out: {reason}" for reason, n in self.data.dropped.items()]


def observations(table: ReflectionTable, intensity: str, **filters: Any) -> Observations:
    """The one intensity to write: the scaled one, else the profile-fitted, else the summed one, unless one is asked for.

    Parameters
    ----------
    table : ReflectionTable
    intensity : str
        As in `spindle_lib_merging.prepare_intensities`, which takes `filters`, too.
    """
    data = prepare_intensities(table, intensity, **filters)
    kind = data.best
    return Observations(data, kind, data.values[kind], np.sqrt(data.variances[kind]))


def per_experiment(observed: Observations, experiments: Experiments) -> list[Observations]:
    """The observations of each experiment."""
    rows = observed.table.rows_by_experiment()
    return [observed.select(rows.get(i, np.zeros(0, np.int64))) for i in range(len(experiments))]


def experiment_name(name: str, number: int, count: int) -> str:
    """Name of the file of one of several experiments: a.txt, or a_1.txt, a_2.txt."""
    if count == 1:
        return name
    stem, dot, suffix = name.rpartition(".")
    return f"{stem}_{number + 1}.{suffix}" if dot and "/" not in suffix else f"{name}_{number + 1}"
