"""Sums over the observations of a fit, block by block: any number of threads share them, and the result does not depend on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from .block_kernels import block_equations, normal_times
from .kernels import chi_square_of, normal_equations
from .normal_matrices import Blocks

#: Observations of a block. Blocks depend on the data alone, and are added in their order.
BLOCK = 32_000
#: Bytes that normal matrices of blocks may take together.
MATRICES = 400_000_000

Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]


def blocks_of(offsets: np.ndarray, n_parameters: int = 0) -> list[tuple[int, int]]:
    """First and last reflection, half open, of blocks of about as many observations each."""
    n, m = int(offsets[-1]), len(offsets) - 1
    most = max(1, MATRICES // max(8 * n_parameters**2, 1))
    k = int(max(1, min(n // BLOCK, most)))
    edges = np.searchsorted(offsets, np.linspace(0, n, k + 1))
    edges[0], edges[-1] = 0, m
    edges = np.unique(edges)
    return [(int(a), int(b)) for a, b in pairwise(edges)]


@dataclass(frozen=True)
class NormalEquations:
    """The task of one block; attributes as the arguments of `kernels.normal_equations`.

    ``derivatives`` gives the columns and slopes of the observations from one to another, so that there are only those of a block.
    """

    offsets: np.ndarray
    intensity: np.ndarray
    weight: np.ndarray
    scale: np.ndarray
    derivatives: Callable[[int, int], tuple[np.ndarray, np.ndarray]]
    probes: np.ndarray
    n_parameters: int

    def __call__(self, block: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        """Normal matrix (upper half), right-hand side, derivatives of the probes' sums, chi squared."""
        first, last = block
        p = self.n_parameters
        begin, end = int(self.offsets[first]), int(self.offsets[last])
        here = slice(begin, end)
        normal, right, directions = np.zeros((p, p)), np.zeros(p), np.zeros((self.probes.shape[1], p))
        chi_square = normal_equations(
            self.offsets[first : last + 1] - begin, self.intensity[here], self.weight[here], self.scale[here],
            *self.derivatives(begin, end), self.probes[here], normal, right, directions, np.empty(last - first),
        )  # fmt: skip
        return normal, right, directions, float(chi_square)

    def total(self, run: Map) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        """The sums of all blocks."""
        blocks = blocks_of(self.offsets, self.n_parameters)
        results = iter(run(self, blocks))
        normal, right, directions, chi_square = next(results)
        for more in results:
            normal += more[0]
            right += more[1]
            directions += more[2]
            chi_square += more[3]
        return normal, right, directions, chi_square


@dataclass(frozen=True)
class BlockEquations:
    """The task of one block of observations where the normal matrix is kept in blocks of parameters, from `edges`."""

    offsets: np.ndarray
    intensity: np.ndarray
    weight: np.ndarray
    scale: np.ndarray
    columns: np.ndarray
    slopes: np.ndarray
    probes: np.ndarray
    edges: np.ndarray

    def __call__(self, block: tuple[int, int]) -> tuple[Blocks, np.ndarray, np.ndarray, float, np.ndarray]:
        """Blocks, right-hand side, derivatives of the probes' sums, chi squared, means of the reflections."""
        first, last = block
        normal = Blocks(self.edges)
        p = int(self.edges[-1])
        right, directions, means = np.zeros(p), np.zeros((self.probes.shape[1], p)), np.empty(last - first)
        chi_square = block_equations(
            self.offsets[first : last + 1], self.intensity, self.weight, self.scale, self.columns, self.slopes,
            self.probes, normal.of, self.edges, normal.begin, normal.values, right, directions, means,
        )  # fmt: skip
        return normal, right, directions, float(chi_square), means

    def total(self, run: Map) -> tuple[Blocks, np.ndarray, np.ndarray, float, np.ndarray]:
        """The sums of all blocks, and all means."""
        size = int(np.sqrt((np.diff(self.edges) ** 2).sum()))
        results = iter(run(self, blocks_of(self.offsets, size)))
        normal, right, directions, chi_square, means = next(results)
        every = [means]
        for more in results:
            normal.values += more[0].values
            right += more[1]
            directions += more[2]
            chi_square += more[3]
            every.append(more[4])
        return normal, right, directions, chi_square, np.concatenate(every)


@dataclass(frozen=True)
class NormalProduct:
    """The whole normal matrix times a vector; attributes as the arguments of `block_kernels.normal_times`."""

    offsets: np.ndarray
    weight: np.ndarray
    scale: np.ndarray
    means: np.ndarray
    columns: np.ndarray
    slopes: np.ndarray
    n_parameters: int

    def total(self, x: np.ndarray, run: Map) -> np.ndarray:
        """(p,) float64: the sum of all blocks of observations."""

        def of_block(block: tuple[int, int]) -> np.ndarray:
            first, last = block
            out = np.zeros(self.n_parameters)
            normal_times(
                self.offsets[first : last + 1], self.weight, self.scale, self.means[first:last], self.columns,
                self.slopes, x, out,
            )  # fmt: skip
            return out

        total = np.zeros(self.n_parameters)
        for part in run(of_block, blocks_of(self.offsets)):
            total += part
        return total


@dataclass(frozen=True)
class ChiSquare:
    """The task of one block; attributes as the arguments of `kernels.chi_square_of`."""

    offsets: np.ndarray
    intensity: np.ndarray
    weight: np.ndarray
    scale: np.ndarray

    def __call__(self, block: tuple[int, int]) -> float:
        """Sum w (I - g <I>)^2."""
        first, last = block
        offsets = self.offsets[first : last + 1]
        return float(chi_square_of(offsets, self.intensity, self.weight, self.scale, np.empty(last - first)))

    def total(self, run: Map) -> float:
        """The sum of all blocks."""
        return float(sum(run(self, blocks_of(self.offsets))))
