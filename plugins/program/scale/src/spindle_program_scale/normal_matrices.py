"""Normal matrices of scaling: whole, or for many data sets in blocks of each, and what fits ask of them.

A whole matrix grows with the square of the number of parameters: 21,000 of 3,000 data sets would take 3.5 GB for each copy. Of such a
matrix only the blocks on its diagonal are kept, one for the parameters of each data set; what joins data sets is left as sums over
reflections. Steps are found by conjugate gradients for the exact equations, with the blocks as preconditioner; variances and the
weights of adaptive restraints follow from the inverses of the blocks, which neglect that the other data sets are not exact either:
with m sets on a reflection a share of about 1 / m of the variance.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import numpy as np

from .block_kernels import blocks_times, quadratic_forms_of_blocks
from .kernels import invert_positive, quadratic_forms
from .matrix_kernels import mirror_lower, scale_lower

#: Matrices of more parameters are kept in blocks.
MOST_WHOLE = 3000
#: Larger matrices are inverted by LAPACK, smaller ones by a kernel that needs no threads.
LARGE_MATRIX = 1500
#: Blocks of a size that are inverted together: what that needs is several times their size.
BLOCKS_AT_ONCE = 256
#: Conjugate gradients end where the residual is smaller by this factor, or after so many steps.
SMALLEST_RESIDUAL, MOST_STEPS = 1e-11, 2000

#: A combination of parameters that is kept at zero: strength, derivatives (p,), present value.
Pin = tuple[float, np.ndarray, float]


class Inverse(ABC):
    """The inverse of a restrained normal matrix; times the variance factor it is the covariance of the parameters."""

    @property
    @abstractmethod
    def diagonal(self) -> np.ndarray:
        """(p,) float64."""

    @abstractmethod
    def block(self, where: slice) -> np.ndarray:
        """(k, k) float64: of k neighbouring parameters of one data set."""

    @abstractmethod
    def forms(self, columns: np.ndarray, slopes: np.ndarray, out: np.ndarray) -> None:
        """Fill `out` (n,) with u' M u of sparse rows u, as `kernels.quadratic_forms` does."""


class WholeInverse(Inverse):
    """A whole matrix."""

    def __init__(self, matrix: np.ndarray) -> None:
        self.matrix = matrix

    @property
    def diagonal(self) -> np.ndarray:
        """See `Inverse`."""
        return np.diag(self.matrix)

    def block(self, where: slice) -> np.ndarray:
        """See `Inverse`."""
        return self.matrix[where, where]

    def forms(self, columns: np.ndarray, slopes: np.ndarray, out: np.ndarray) -> None:
        """See `Inverse`."""
        quadratic_forms(columns, slopes, self.matrix, out)


class Blocks(Inverse):
    """Square blocks on the diagonal, one for each stretch of parameters.

    Parameters
    ----------
    edges : (m + 1,) int64
        First parameter of each block, and the number of all.
    values : (k,) float64, optional
        The blocks one after the other, each by rows; zeros by default.
    """

    def __init__(self, edges: np.ndarray, values: np.ndarray | None = None) -> None:
        self.edges = edges
        sizes = np.diff(edges)
        self.begin = np.concatenate([[0], np.cumsum(sizes**2)]).astype(np.int64)
        self.of = np.repeat(np.arange(len(sizes)), sizes)
        self.values = np.zeros(self.begin[-1]) if values is None else values
        inside = np.arange(edges[-1]) - edges[self.of]
        self._on_diagonal = self.begin[self.of] + inside * (sizes[self.of] + 1)

    def changed(self, values: np.ndarray) -> Blocks:
        """Blocks of the same sizes."""
        return Blocks(self.edges, values)

    def number(self, k: int) -> np.ndarray:
        """(s, s) float64: block k, which may be changed in place."""
        size = int(self.edges[k + 1] - self.edges[k])
        return self.values[self.begin[k] : self.begin[k + 1]].reshape(size, size)

    @property
    def diagonal(self) -> np.ndarray:
        """See `Inverse`."""
        return self.values[self._on_diagonal]

    def set_diagonal(self, values: np.ndarray) -> None:
        """Replace the diagonal."""
        self.values[self._on_diagonal] = values

    def block(self, where: slice) -> np.ndarray:
        """See `Inverse`."""
        k = int(self.of[where.start])
        low, high = where.start - self.edges[k], where.stop - self.edges[k]
        return self.number(k)[low:high, low:high]

    def forms(self, columns: np.ndarray, slopes: np.ndarray, out: np.ndarray) -> None:
        """See `Inverse`; the neglected parts count as 0."""
        quadratic_forms_of_blocks(columns, slopes, self.of, self.edges, self.begin, self.values, out)

    def _by_size(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Places in the values (m, s * s) and parameters (m, s) of all blocks, some hundred of a size at a time."""
        sizes = np.diff(self.edges)
        for size in np.unique(sizes[sizes > 0]):
            every = np.flatnonzero(sizes == size)
            for i in range(0, len(every), BLOCKS_AT_ONCE):
                which = every[i : i + BLOCKS_AT_ONCE]
                yield self.begin[which][:, None] + np.arange(size**2), self.edges[which][:, None] + np.arange(size)

    def inverted(self) -> Blocks:
        """The inverse of each block, positive ones scaled to a unit diagonal first."""
        values, diagonal = np.zeros(len(self.values)), self.diagonal
        for places, rows in self._by_size():
            stack = self.values[places].reshape(len(places), rows.shape[1], rows.shape[1])
            size = 1.0 / np.sqrt(np.maximum(diagonal[rows], 1e-300))
            scale = size[:, :, None] * size[:, None, :]
            values[places] = (_inverted(stack * scale) * scale).reshape(len(places), -1)
        return self.changed(values)

    def less(self, vectors: np.ndarray, matrix: np.ndarray) -> Blocks:
        """Blocks of this matrix less V M V', for vectors V (p, q) and a matrix M (q, q)."""
        values = self.values.copy()
        for places, rows in self._by_size():
            some = vectors[rows]
            values[places] -= np.einsum("ksa,ab,ktb->kst", some, matrix, some).reshape(len(places), -1)
        return self.changed(values)

    def times(self, x: np.ndarray) -> np.ndarray:
        """(p,) float64: the product with a vector."""
        out = np.zeros(len(x))
        blocks_times(self.edges, self.begin, self.values, np.ascontiguousarray(x), out)
        return out


class System(ABC):
    """The equations of a step: restrained normal matrix and right-hand side."""

    push: np.ndarray

    @property
    @abstractmethod
    def inverse(self) -> Inverse:
        """Of the matrix; 0 where a parameter is fixed, which has no error."""

    @property
    @abstractmethod
    def diagonal(self) -> np.ndarray:
        """(p,) float64: of the matrix."""

    @abstractmethod
    def solved(self, push: np.ndarray, damping: float = 0.0) -> np.ndarray:
        """(p,) float64: the parameters' changes for a right-hand side, the diagonal raised by a factor 1 + damping."""


class WholeSystem(System):
    """With a matrix (p, p); rows and columns of parameters that are not `free` (p,) are those of the unit matrix."""

    def __init__(self, matrix: np.ndarray, push: np.ndarray, free: np.ndarray) -> None:
        self.matrix, self.push, self._free = matrix, push, free

    @cached_property
    def inverse(self) -> WholeInverse:
        """See `System`."""
        found = inverted(self.matrix)
        found[np.diag_indices_from(found)] *= self._free
        return WholeInverse(found)

    @property
    def diagonal(self) -> np.ndarray:
        """See `System`."""
        return np.diag(self.matrix)

    def solved(self, push: np.ndarray, damping: float = 0.0) -> np.ndarray:
        """See `System`."""
        if damping == 0:
            return np.asarray(self.inverse.matrix @ push)
        return np.asarray(inverted(self.matrix + damping * np.diag(np.diag(self.matrix))) @ push)


class BlockSystem(System):
    """With blocks (restraints included) and the product of the whole matrix with a vector.

    Parameters
    ----------
    blocks : Blocks
    product : callable
        The normal matrix, which the restraints and pins are not part of, times a vector.
    further : Blocks
        Restraints.
    pins : list of Pin
    ridge : float
        Added to the diagonal.
    free : (p,) bool
    push : (p,) float64
    check : callable
        Called in each step; raises to cancel.
    """

    def __init__(
        self, blocks: Blocks, product: Callable[[np.ndarray], np.ndarray], further: Blocks, pins: list[Pin], ridge: float,
        free: np.ndarray, push: np.ndarray, check: Callable[[], None],
    ) -> None:  # fmt: skip
        self._product, self._further, self._pins, self._ridge = product, further, pins, ridge
        self.free, self.push, self._check = free, push, check
        values = blocks.values + further.values
        fixed = np.flatnonzero(~free)
        self.blocks = blocks.changed(values)
        self.blocks.set_diagonal(self.blocks.diagonal + ridge)
        for k in np.unique(blocks.of[fixed]):
            block, held = self.blocks.number(int(k)), ~free[blocks.edges[k] : blocks.edges[k + 1]]
            block[held, :] = 0.0
            block[:, held] = 0.0
            block[held, held] = 1.0

    @cached_property
    def _plain(self) -> Blocks:
        """Inverses of the blocks without pins."""
        return self.blocks.inverted()

    @cached_property
    def inverse(self) -> Blocks:
        """See `System`."""
        _, softened, small = self._woodbury(self._plain)
        found = self._plain.less(softened, small)
        found.set_diagonal(found.diagonal * self.free)
        return found

    def _woodbury(self, inverse: Blocks) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """C, B^-1 C and (S^-1 + C' B^-1 C)^-1 of (B + C S C')^-1 = B^-1 - B^-1 C (S^-1 + C' B^-1 C)^-1 C' B^-1."""
        held = np.array([np.where(self.free, direction, 0.0) for _, direction, _ in self._pins]).T
        softened = np.array([inverse.times(column) for column in held.T]).T
        strengths = np.array([strength for strength, _, _ in self._pins])
        return held, softened, np.linalg.inv(np.diag(1.0 / strengths) + held.T @ softened)

    @property
    def diagonal(self) -> np.ndarray:
        """See `System`."""
        pinned = np.sum([strength * direction**2 for strength, direction, _ in self._pins], axis=0)
        return np.asarray(np.where(self.free, self.blocks.diagonal + pinned, 1.0))

    def times(self, x: np.ndarray, damping: np.ndarray) -> np.ndarray:
        """(p,) float64: the restrained matrix, whose diagonal is raised by `damping` (p,), times a vector."""
        inside = np.where(self.free, x, 0.0)
        out = self._product(inside) + self._further.times(inside) + self._ridge * inside
        for strength, direction, _ in self._pins:
            out += strength * float(direction @ inside) * direction
        return np.asarray(np.where(self.free, out, x) + damping * x)

    def solved(self, push: np.ndarray, damping: float = 0.0) -> np.ndarray:
        """By conjugate gradients; see `System`."""
        raised = damping * self.diagonal
        inverse = self._plain
        if damping:
            blocks = self.blocks.changed(self.blocks.values.copy())
            blocks.set_diagonal(blocks.diagonal + raised)
            inverse = blocks.inverted()
        held, softened, small = self._woodbury(inverse)

        def preconditioned(r: np.ndarray) -> np.ndarray:
            """(blocks + pins)^-1 r."""
            z = inverse.times(r)
            return np.asarray(z - softened @ (small @ (held.T @ z)))

        x, r = np.zeros(len(push)), push.copy()
        z = preconditioned(r)
        direction, size = z, float(r @ z)
        end = SMALLEST_RESIDUAL**2 * size
        for _ in range(MOST_STEPS):
            if not size > end:
                break
            self._check()
            image = self.times(direction, raised)
            step = size / float(direction @ image)
            x += step * direction
            r -= step * image
            z = preconditioned(r)
            before, size = size, float(r @ z)
            direction = z + size / before * direction
        return x


def _inverted(stack: np.ndarray) -> np.ndarray:
    """Inverses of symmetric matrices (m, s, s); of those that are not positive what is."""
    try:
        np.linalg.cholesky(stack)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(stack)
        keep = values > 1e-10 * values.max(axis=1, keepdims=True)
        inverse = np.where(keep, 1.0 / np.where(keep, values, 1.0), 0.0)
        return np.asarray(np.einsum("kia,ka,kja->kij", vectors, inverse, vectors))
    found: Any = np.linalg.inv(stack)
    return np.asarray(0.5 * (found + found.transpose(0, 2, 1)))


def inverted(matrix: np.ndarray) -> np.ndarray:
    """Inverse of a symmetric positive matrix, scaled to a unit diagonal first."""
    size = 1.0 / np.sqrt(np.maximum(np.diag(matrix), 1e-300))
    if len(matrix) > LARGE_MATRIX:
        from scipy.linalg.lapack import dpotrf, dpotri

        # by columns, as LAPACK wants it, and changed in place: of such matrices nothing is copied that need not be
        half = np.empty(matrix.shape, order="F")
        scale_lower(matrix, size, half)
        half, failed = dpotrf(half, lower=1, clean=0, overwrite_a=1)
        if not failed:
            half, failed = dpotri(half, lower=1, overwrite_c=1)
        if not failed:
            whole = np.empty(matrix.shape)
            mirror_lower(half, size, whole)
            return whole
    scaled = matrix * size[:, None] * size[None, :]
    inverse = np.empty_like(scaled)
    if not invert_positive(scaled.copy(), inverse):
        values, vectors = np.linalg.eigh(scaled)
        keep = values > 1e-10 * values.max()
        inverse = (vectors[:, keep] / values[keep]) @ vectors[:, keep].T
    return np.asarray(inverse * size[:, None] * size[None, :])
