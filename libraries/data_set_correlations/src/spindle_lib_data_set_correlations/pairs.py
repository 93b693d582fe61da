"""Correlations of the intensities of each pair of data sets, under each way to index them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spindle.contracts.executor import Executor
from spindle_lib_symmetry_analysis.alignment import Observed, merge_keys, orbit_keys

from .kernels import correlate_sets

__all__ = ["PairCorrelations", "correlations_of_pairs", "weights_of"]

#: Correlations are never taken for surer than this one would be.
SUREST = 0.999


@dataclass(frozen=True, slots=True)
class PairCorrelations:
    """Correlations between data sets that are indexed in some of several ways.

    Data set i with its indices turned by ``operators[k]`` is point (i, k).

    Attributes
    ----------
    operators : list of (3, 3) int64
        Ways to index: rotations R with h' = h R, the identity first. They are a group, symmetries apart.
    number : (n_operators, n_operators) int64
        Which matrix holds the correlations of points with operators k and l.
    cc : (n_operators, n_sets, n_sets) float64
        ``cc[number[k, l], i, j]`` is that of (i, k) and (j, l); NaN where it is not known.
    n : (n_operators, n_sets, n_sets) float64
        Common reflections; with weights, as many equal ones as tell as much.
    """

    operators: list[np.ndarray]
    number: np.ndarray
    cc: np.ndarray
    n: np.ndarray
    _places: dict[bytes, int]

    def place_of(self, rotation: np.ndarray) -> int:
        """Which operator gives the same indexing as a rotation, symmetries apart.

        Raises
        ------
        KeyError
            If none does.
        """
        return self._places[_bytes(rotation)]

    @property
    def n_sets(self) -> int:
        """Number of data sets."""
        return int(self.cc.shape[1])

    def between(self, k: int, l: int) -> np.ndarray:
        """(n_sets, n_sets) float64: correlations of points with operators k and l."""
        return np.asarray(self.cc[self.number[k, l]])


@dataclass(frozen=True, slots=True)
class _Sets:
    """Data sets one after the other, each sorted by the number of its reflections."""

    keys: np.ndarray
    values: np.ndarray
    variances: np.ndarray
    offsets: np.ndarray


@dataclass(frozen=True, slots=True)
class _Block:
    """The correlations of some data sets with all, under one operator: a task."""

    one: _Sets
    other: _Sets
    weighted: bool

    def __call__(self, rows: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        first, last = rows
        shape = last - first, len(self.other.offsets) - 1
        cc, n = np.empty(shape), np.empty(shape)
        a, b = self.one, self.other
        correlate_sets(
            a.keys, a.values, a.variances, a.offsets, b.keys, b.values, b.variances, b.offsets, first, last,
            self.weighted, cc, n,
        )  # fmt: skip
        return cc, n


def correlations_of_pairs(
    sets: Sequence[Observed],
    operators: Sequence[np.ndarray],
    group: Sequence[np.ndarray],
    executor: Executor,
    min_pairs: int = 3,
    weighted: bool = False,
) -> PairCorrelations:
    """Correlate each pair of data sets under each difference of indexing.

    Parameters
    ----------
    sets : sequence of Observed
        Merged intensities in one basis.
    operators, group : sequence of (3, 3) int64
        Ways to index; and the rotations that are symmetries of all sets. Operators leave the group as a whole as it is.
    executor : Executor
    min_pairs : int
        With fewer common reflections a correlation is not known.
    weighted : bool
        Count each pair of intensities by the inverse of its variance.
    """
    n_sets = len(sets)
    places = _places(operators, group)
    inverses = [np.rint(np.linalg.inv(o)).astype(np.int64) for o in operators]
    number = np.array([[places[_bytes(b @ a)] for b in operators] for a in inverses], dtype=np.int64)
    inverse = [places[_bytes(a)] for a in inverses]
    cc = np.full((len(operators), n_sets, n_sets), np.nan)
    n = np.zeros_like(cc)
    one = _keyed(sets, operators[0], group)
    size = max(1, min(64, -(-n_sets // 4)))
    blocks = [(i, min(i + size, n_sets)) for i in range(0, n_sets, size)]
    for k, operator in enumerate(operators):
        if inverse[k] < k:
            cc[k], n[k] = cc[inverse[k]].T, n[inverse[k]].T
            continue
        task = _Block(one, one if k == 0 else _keyed(sets, operator, group), weighted)
        for (first, last), (values, counts) in zip(blocks, executor.map(task, blocks), strict=True):
            cc[k, first:last], n[k, first:last] = values, counts
    cc[n < min_pairs] = np.nan
    np.fill_diagonal(cc[0], np.nan)  # a set agrees with itself
    return PairCorrelations([np.asarray(o) for o in operators], number, cc, n, places)


def weights_of(pairs: PairCorrelations, kind: str | None) -> np.ndarray:
    """How much each correlation counts, in the form of `PairCorrelations.cc`; their mean is 1, unknown ones have 0.

    Parameters
    ----------
    pairs : PairCorrelations
    kind : str or None
        "count": by the number of common reflections; "standard_error": by the inverse of sqrt((1 - cc^2) / (n - 2)); None:
        all alike.
    """
    known = np.isfinite(pairs.cc)
    if kind is None:
        weight = np.ones_like(pairs.n)
    elif kind == "count":
        weight = pairs.n.copy()
    else:
        cc = np.clip(np.nan_to_num(pairs.cc), -SUREST, SUREST)
        weight = np.sqrt(np.maximum(pairs.n - 2.0, 0.0)) / (1.0 - cc**2)
    weight[~known] = 0.0
    total = weight.sum()
    return np.asarray(weight * (np.count_nonzero(weight) / total) if total > 0 else weight)


def _keyed(sets: Sequence[Observed], operator: np.ndarray, group: Sequence[np.ndarray]) -> _Sets:
    parts = [merge_keys(orbit_keys(s.hkl @ operator, group), s.intensity, s.weight) for s in sets]
    lengths = [len(p[0]) for p in parts]
    keys, values, weights = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return _Sets(keys, values, 1.0 / weights, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


def _places(operators: Sequence[np.ndarray], group: Sequence[np.ndarray]) -> dict[bytes, int]:
    """Which operator each rotation is, symmetries apart."""
    return {_bytes(operator @ symmetry): k for k, operator in enumerate(operators) for symmetry in group}


def _bytes(rotation: Any) -> bytes:
    return np.asarray(rotation, dtype=np.int64).tobytes()
