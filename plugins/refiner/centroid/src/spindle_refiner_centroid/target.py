"""Residuals and normal equations of a set of reflections."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import kernels, stills_kernels
from .layout import Layout
from .problem import Problem
from .restraints import Restraint
from .standing import Standing

REFLECTIONS_PER_TASK = 20000


@dataclass
class Observations:
    """Reflections in the form that kernels take.

    Attributes
    ----------
    rows : (n,) int64
        Their rows in the reflection table.
    hkl : (n, 3) float64
    entering : (n,) bool
    experiment, panel : (n,) int64
    z : (n,) float64
        Observed array index.
    observed, weights : (n, 3) float64
        x, y in mm, angle in radians (0 for stills), and 1/variance.

    """

    rows: np.ndarray
    hkl: np.ndarray
    entering: np.ndarray
    experiment: np.ndarray
    panel: np.ndarray
    z: np.ndarray
    observed: np.ndarray
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, which: np.ndarray | slice) -> Observations:
        """Some of the reflections, by mask or index."""
        return Observations(*(np.ascontiguousarray(getattr(self, name)[which]) for name in self.__dataclass_fields__))

    def those(self, mask: np.ndarray) -> Observations:
        """The reflections of a mask; without a copy where that is all of them."""
        return self if mask.all() else self.select(mask)


def is_weighed(weights: np.ndarray) -> np.ndarray:
    """(n, 3) bool: coordinates of weights (n, 3) that are looked at; a coordinate that has no weight anywhere is, too."""
    told = weights > 0
    return np.asarray(told | ~told.any(axis=0))


@dataclass
class Evaluation:
    """The target at one point.

    Attributes
    ----------
    objective : float
        Half the weighted sum of squares, restraints included.
    residuals : (n, 3) float64
    predicted : (n,) bool
    weights : (n, 3) float64
        Those of the observations.
    N : (p, p) float64, g : (p,) float64
        Normal matrix and gradient; empty when residuals only were asked for.
    touched : (p,) int64
        Reflections that depend on each parameter.

    """

    objective: float
    residuals: np.ndarray
    predicted: np.ndarray
    weights: np.ndarray
    N: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    g: np.ndarray = field(default_factory=lambda: np.zeros(0))
    touched: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @property
    def n_predicted(self) -> int:
        """Reflections in the sums."""
        return int(np.count_nonzero(self.predicted))

    @property
    def n_residuals(self) -> np.ndarray:
        """(3,) int64: the same of each coordinate, without those that have no weight."""
        return np.count_nonzero(is_weighed(self.weights) & self.predicted[:, None], axis=0)

    def rmsd(self) -> np.ndarray:
        """(3,) float64: RMSDs of what has weight; weights play no other part."""
        told = self.residuals * is_weighed(self.weights)
        return np.asarray(np.sqrt((told**2).sum(axis=0) / np.maximum(self.n_residuals, 1)))


class Target:
    """The function that refinement makes small.

    Parameters
    ----------
    problem : Problem
    observations : Observations
    restraints : iterable of Restraint
    block_size : int
        Reflections per task.
    n_threads : int

    """

    def __init__(
        self,
        problem: Problem,
        observations: Observations,
        restraints: Iterable[Restraint | Standing] = (),
        block_size: int | None = None,
        n_threads: int = 1,
        layout: Layout | None = None,
    ) -> None:
        self.problem = problem
        self.layout = layout or problem.layout()
        self.restraints = list(restraints)
        self.block_size = block_size or REFLECTIONS_PER_TASK
        self.n_threads = n_threads
        self.observations = observations
        self.cell, self.row, self.offset = self.layout.assign(
            observations.experiment, observations.panel, observations.z
        )

        self._last: tuple[np.ndarray, Evaluation] | None = None

    def with_observations(self, observations: Observations) -> Target:
        """The same target with other reflections, or after parameters of the problem were fixed."""
        return Target(self.problem, observations, self.restraints, self.block_size, self.n_threads)

    def _tasks(self) -> Iterator[slice]:
        for start in range(0, max(len(self.observations), 1), self.block_size):
            yield slice(start, start + self.block_size)

    def _map(self, function: Callable[[slice], Any]) -> Iterable[Any]:
        tasks = list(self._tasks())
        if self.n_threads <= 1 or len(tasks) == 1:
            return [function(task) for task in tasks]
        with ThreadPoolExecutor(self.n_threads) as pool:
            return list(pool.map(function, tasks))

    def evaluate(self, x: np.ndarray, gradients: bool = True) -> Evaluation:
        """Residuals, and with `gradients` the normal equations, at parameters x (p,); the last answer is remembered."""
        if self._last is not None and np.array_equal(x, self._last[0]):
            return self._last[1]
        result = self._evaluate(x, gradients)
        if gradients:
            self._last = x.copy(), result
        return result

    def _evaluate(self, x: np.ndarray, gradients: bool) -> Evaluation:
        t = self.problem.tables(self.layout, x, gradients)
        o = self.observations
        n_cells, k = len(self.layout.position), self.layout.n_local
        residuals = np.empty((len(o), 3))
        predicted = np.empty(len(o), dtype=bool)

        def run(task: slice) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
            N = np.zeros((n_cells, k, k))
            g = np.zeros((n_cells, k))
            touched = np.zeros((n_cells, k), dtype=np.int64)
            common = (
                o.weights[task],
                self.cell[task],
                self.row[task],
            )
            if self.problem.stills:
                objective = stills_kernels.stills_normal_equations(
                    o.hkl[task],
                    o.observed[task],
                    *common,
                    t.A,
                    t.s0,
                    t.D,
                    t.dA,
                    t.ds0,
                    t.dD,
                    self.problem.settings.parameterisation.spherical_relp_model,
                    gradients,
                    residuals[task],
                    predicted[task],
                    N,
                    g,
                    touched,
                )
            else:
                objective = kernels.scan_normal_equations(
                    o.hkl[task],
                    o.entering[task],
                    o.observed[task],
                    *common,
                    self.offset[task],
                    *t,
                    self.layout.sloped,
                    gradients,
                    residuals[task],
                    predicted[task],
                    N,
                    g,
                    touched,
                )
            return objective, N, g, touched

        parts = self._map(run)
        objective = float(sum(p[0] for p in parts))
        result = Evaluation(objective, residuals, predicted, o.weights)
        if gradients:
            n = self.problem.n_parameters
            result.N, result.g = np.zeros((n, n)), np.zeros(n)
            kernels.sum_cells(
                sum(p[1] for p in parts),
                sum(p[2] for p in parts),
                self.layout.index,
                self.layout.weight,
                result.N,
                result.g,
            )
            touched = sum(p[3] for p in parts)
            index = self.layout.index
            valid = (index >= 0) & (self.layout.weight > 1e-10)
            result.touched = np.bincount(
                index[valid], np.broadcast_to(touched[:, :, None], index.shape)[valid], minlength=n
            ).astype(np.int64)
        if self.restraints:
            everything = self.problem.expand(x)
            for restraint in self.restraints:
                result.objective += restraint.add(everything, self.problem, result.N, result.g, gradients)
        return result

    @property
    def n_restraints(self) -> int:
        """Number of restraint residuals."""
        return sum(r.n_residuals for r in self.restraints)
