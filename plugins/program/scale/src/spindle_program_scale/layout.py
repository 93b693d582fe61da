"""One parameter vector for the scaling models of all data sets."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from spindle.contracts.scaling import Computed, Penalty, ScaleTerm, ScalingModel

from .pieces import bundles_of
from .sums import Map

#: Rows of computed arrays of a fit are kept where they take fewer bytes than this.
KEPT = 20_000_000
#: Adaptive weights stay within these factors of the first guess: a term can vanish, but not run away.
WEIGHT_RANGE = (1e-3, 1e6)
#: Observations whose scales are computed at a time.
ROWS = 2**16


@dataclass(slots=True)
class Restraint:
    """A penalty at its place in the parameter vector.

    Attributes
    ----------
    where : slice
        Parameters of the term.
    penalty : Penalty
    null : float
        Value the parameters are drawn to.
    rank : int
        Rank of the penalty's matrix.
    weight : float
        Weight now in use.
    """

    where: slice
    penalty: Penalty
    null: float
    rank: int
    weight: float

    @property
    def adaptive(self) -> bool:
        """Whether the data choose the weight."""
        return self.penalty.weight is None


class Layout:
    """Where the parameters of each data set's terms are in the common vector.

    Parameters
    ----------
    models : sequence of ScalingModel
        One per data set. Shared terms of several data sets use the same parameters.

    Attributes
    ----------
    weight_range : (float, float)
        Limits of the weights of adaptive restraints, in terms of their first guesses.
    edges : (n_sets + 1,) int64
        First parameter of those that each data set brings, the shared ones with the first that has them; and their number.
    """

    def __init__(self, models: Sequence[ScalingModel]) -> None:
        self.models = tuple(models)
        self.weight_range = WEIGHT_RANGE
        self.slices: list[dict[str, slice]] = []
        self.restraints: list[Restraint] = []
        edges = [0]
        start, free = [], []
        shared: dict[str, slice] = {}
        n = 0
        for model in self.models:
            places: dict[str, slice] = {}
            for term in model.terms:
                p = len(term.parameters)
                if (
                    term.name in model.shared
                    and term.name in shared
                    and shared[term.name].stop - shared[term.name].start == p
                ):
                    places[term.name] = shared[term.name]
                    continue
                where = slice(n, n + p)
                places[term.name] = where
                if term.name in model.shared:
                    shared[term.name] = where
                start.append(term.parameters)
                free.append(np.full(p, not term.fixed))
                n += p
                for penalty in term.penalties:
                    rank = penalty.rank if penalty.rank is not None else int(np.linalg.matrix_rank(penalty.matrix))
                    weight = penalty.weight
                    if weight is None:
                        weight = 1.0 / penalty.typical**2
                    self.restraints.append(Restraint(where, penalty, term.null_value, rank, weight))
            self.slices.append(places)
            edges.append(n)
        self.edges = np.array(edges, dtype=np.int64)
        self.start = np.concatenate(start) if start else np.zeros(0)
        self.free = np.concatenate(free) if free else np.zeros(0, dtype=bool)
        self.width = max((sum(t.weights.shape[1] for t in m.terms) for m in self.models), default=0)

    @property
    def n_parameters(self) -> int:
        """Length of the parameter vector."""
        return len(self.start)

    @property
    def is_adaptive(self) -> bool:
        """Whether the data choose the weight of any restraint."""
        return any(r.adaptive for r in self.restraints)

    def restricted(self, rows: Sequence[np.ndarray], run: Map = map) -> Layout:
        """The same parameters and restraints, for some observations of each data set (rows per data set); `run` applies a function to items."""

        def some_of(sets: list[int]) -> list[Any]:
            models = ((self.models[k], rows[k]) for k in sets)
            return [replace(m, terms=tuple(_rows_of(term, chosen) for term in m.terms)) for m, chosen in models]

        part = copy.copy(self)
        bundles = bundles_of([len(chosen) for chosen in rows])
        part.models = tuple(m for some in run(some_of, bundles) for m in some)
        return part

    def scales(self, number: int, parameters: np.ndarray, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """(n,) float64: inverse scale factors g of some observations of a data set, some thousand at a time."""
        n = self._number_of(number, rows)
        if n > ROWS:
            every = np.arange(len(self.models[number].terms[0].weights))[rows] if isinstance(rows, slice) else rows
            return np.concatenate([self.scales(number, parameters, every[i : i + ROWS]) for i in range(0, n, ROWS)])
        g = np.ones(n)
        for term in self.models[number].terms:
            g *= term.values(parameters[self.slices[number][term.name]], rows)
        return g

    def _number_of(self, number: int, rows: np.ndarray | slice) -> int:
        """How many observations of a data set some rows are."""
        return len(range(len(self.models[number].terms[0].weights))[rows]) if isinstance(rows, slice) else len(rows)

    def slopes(
        self, number: int, parameters: np.ndarray, rows: np.ndarray | slice = slice(None)
    ) -> tuple[np.ndarray, np.ndarray]:
        """Parameters (n, width) int32 that each g depends on, -1 for none, and the derivatives (n, width) of ln g."""
        model = self.models[number]
        n = self._number_of(number, rows)
        columns = np.full((n, self.width), -1, dtype=np.int32)
        slopes = np.zeros((n, self.width))
        place = 0
        for term in model.terms:
            where = self.slices[number][term.name]
            k = term.weights.shape[1]
            indices: Any = term.indices if len(term.indices) == 1 else term.indices[rows]
            columns[:, place : place + k] = indices + np.int32(where.start)
            slopes[:, place : place + k] = term.log_slopes(parameters[where], rows)
            place += k
        return columns, slopes

    def penalty(self, parameters: np.ndarray) -> float:
        """Value of all restraints."""
        total = 0.0
        for restraint in self.restraints:
            x = parameters[restraint.where] - restraint.null
            total += restraint.weight * float(x @ restraint.penalty.matrix @ x)
        return total

    def overall_terms(self, number: int) -> tuple[ScaleTerm | None, ScaleTerm | None]:
        """The term of a data set that takes up a factor when its parameters are multiplied, and that which takes up a B when it is added."""
        terms = self.models[number].terms
        factor = next((t for t in terms if t.coefficient is None and t.offset == 0 and not t.fixed), None)
        return factor, next((t for t in terms if overall_decay(t) and not t.fixed), None)

    def changed(
        self, parameters: np.ndarray, factor: float, b: float = 0.0, sets: Sequence[int] | None = None
    ) -> np.ndarray:
        """Parameters that give factor exp(b / (2 d^2)) times the scale factors of some sets, as far as there are terms for it."""
        found, done = parameters.copy(), set()
        for number in range(len(self.slices)) if sets is None else sets:
            places = self.slices[number]
            linear, decay = self.overall_terms(number)
            if linear is not None and places[linear.name].start not in done:
                found[places[linear.name]] *= factor
                done.add(places[linear.name].start)
            if decay is not None and b and places[decay.name].start not in done:
                found[places[decay.name]] += b
                done.add(places[decay.name].start)
        return found

    def has_overall_decay(self) -> bool:
        """Whether a B factor common to all data sets is among the parameters, and so cannot be told from the data."""
        return all(any(overall_decay(t) and not t.fixed for t in m.terms) for m in self.models)


def overall_decay(term: ScaleTerm) -> bool:
    """Whether a term can be one B factor for all observations of its data set: its weights add up to the same for each."""
    if term.coefficient is None:
        return False
    sums = term.weights[: min(len(term.weights), ROWS)].sum(axis=1)
    return len(sums) == 0 or float(np.ptp(sums)) < 1e-6 * float(np.abs(sums).max())


def _rows_of(term: ScaleTerm, rows: np.ndarray) -> ScaleTerm:
    alike = len(term.indices) == 1 and len(term.weights) != 1
    return replace(
        term,
        indices=term.indices if alike else _small(_some(term.indices, rows), len(term.parameters)),
        weights=_some(term.weights, rows),
        coefficient=None if term.coefficient is None else term.coefficient[rows],
    )


def _small(indices: np.ndarray | Computed, n_parameters: int) -> np.ndarray | Computed:
    """Indices that are kept, in as few bytes as they need."""
    if isinstance(indices, Computed):
        return indices
    return indices.astype(np.min_scalar_type(max(n_parameters - 1, 0)), copy=False)


def _some(values: np.ndarray | Computed, rows: np.ndarray) -> np.ndarray | Computed:
    if isinstance(values, Computed) and 8 * len(rows) * values.shape[1] > KEPT:
        return values.of(rows)
    return values[rows]
