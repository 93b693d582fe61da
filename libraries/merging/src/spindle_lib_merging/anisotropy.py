"""Where data end in each direction: the ellipsoid on which the mean I / sigma has fallen to a limit."""

from __future__ import annotations

from dataclasses import dataclass

import gemmi
import numpy as np
import numpy.typing as npt

from spindle.symmetry import SpaceGroupLike, laue_group_ops

__all__ = ["Ellipsoid", "fit_ellipsoid"]

#: Reflections whose expected I / sigma is above this many limits tell nothing about where it is reached.
FAR_ABOVE = 8.0
#: Fewer reflections tell nothing.
FEWEST = 500
PAIRS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))


@dataclass(frozen=True, slots=True)
class Ellipsoid:
    """Reciprocal vectors q (columns, Cartesian, 1/angstrom) with q' matrix q = 1 are where data end.

    Attributes
    ----------
    matrix : (3, 3) float64, angstrom^2
        Has the symmetry of the Laue group.
    limits : (3,) float64, angstrom
        Resolution along the principal axes, the best first.
    axes : (3, 3) float64
        Rows: unit vectors along them.
    directions : (3, 3) float64
        Rows: the same as parts of a*, b*, c* of unit length.
    """

    matrix: np.ndarray
    limits: np.ndarray
    axes: np.ndarray
    directions: np.ndarray

    def contains(self, hkl: npt.ArrayLike, cell: npt.ArrayLike) -> np.ndarray:
        """(n,) bool: indices inside."""
        q = reciprocal_vectors(hkl, cell)
        return np.asarray(np.einsum("ni,ij,nj->n", q, self.matrix, q) <= 1.0)

    def is_anisotropic(self, edge: float, least: float = 0.1) -> bool:
        """Whether the limits differ by a tenth or more, as far as data to an edge (angstrom) can tell."""
        seen = np.maximum(self.limits, edge)
        return bool(seen.max() > (1.0 + least) * seen.min())


def reciprocal_vectors(hkl: npt.ArrayLike, cell: npt.ArrayLike) -> np.ndarray:
    """(n, 3) float64, 1/angstrom: Cartesian vectors of indices."""
    unit_cell = gemmi.UnitCell(*np.asarray(cell, dtype=float))
    return np.asarray(np.asarray(hkl, dtype=float) @ np.array(unit_cell.frac.mat.tolist()))


def fit_ellipsoid(
    hkl: npt.ArrayLike, ratio: npt.ArrayLike, cell: npt.ArrayLike, group: SpaceGroupLike, limit: float = 1.2
) -> Ellipsoid | None:
    """Fit mean I / sigma = exp(p - q' M q), and find where it is `limit`.

    Parameters
    ----------
    hkl : (n, 3) int
        Merged reflections.
    ratio : (n,) float
        Their I / sigma.
    cell : (6,) float, angstrom and degrees
    group
        Space group.
    limit : float
        As that of local averages of STARANISO (Tickle et al. 2018), 1.2.

    Returns
    -------
    Ellipsoid or None
        None with too few reflections, or where the signal does not fall in every direction.

    Notes
    -----
    Quasi-likelihood of Poisson's form, sum of ln(mean) ratio - mean, which takes negative values and is convex. Strong reflections far
    inside are left out when the fit is repeated: their I / sigma is limited by other errors.
    """
    indices, values = np.asarray(hkl, dtype=float), np.asarray(ratio, dtype=float)
    good = np.isfinite(values)
    indices, values = indices[good], np.clip(values[good], -10.0, 1e4)
    if len(values) < FEWEST:
        return None
    products = np.zeros((len(values), 6))
    operations = laue_group_ops(group, proper=True)
    for rotation in operations:
        q = reciprocal_vectors(indices @ rotation, cell)
        for k, (i, j) in enumerate(PAIRS):
            products[:, k] += q[:, i] * q[:, j] * (1.0 if i == j else 2.0)
    design = np.column_stack([np.ones(len(values)), -products / len(operations)])
    use, found = np.ones(len(values), bool), None
    for _ in range(4):
        parameters = _fit(design[use], values[use])
        if parameters is None:
            return None
        found = parameters
        expected = np.exp(np.clip(design @ found, -30.0, 30.0))
        near = expected < FAR_ABOVE * limit
        if near.sum() < FEWEST or np.array_equal(near, use):
            break
        use = near
    assert found is not None
    height = float(found[0] - np.log(limit))
    matrix = np.zeros((3, 3))
    for value, (i, j) in zip(found[1:], PAIRS, strict=True):
        matrix[i, j] = matrix[j, i] = value
    lengths, vectors = np.linalg.eigh(matrix)
    if height <= 0 or lengths.min() <= 0:
        return None
    unit_cell = gemmi.UnitCell(*np.asarray(cell, dtype=float))
    parts = vectors.T @ np.array(unit_cell.orth.mat.tolist())  # along a*, b*, c*
    parts = parts / np.linalg.norm(parts, axis=1, keepdims=True)
    return Ellipsoid(matrix / height, np.sqrt(lengths / height), vectors.T, parts)


def _fit(design: np.ndarray, values: np.ndarray) -> np.ndarray | None:
    """Newton's steps, with a little ridge for directions that symmetry or the data leave undetermined."""
    size = np.sqrt((design**2).mean(axis=0))
    absent = size < 1e-9 * size[1:].max()  # what the symmetry makes nothing
    x = np.where(absent, 0.0, design / np.where(absent, 1.0, size))
    parameters = np.zeros(x.shape[1])
    parameters[0] = np.log(max(float(values.mean()), 1e-3))
    ridge = 1e-9 * len(values) * np.eye(x.shape[1])
    for _ in range(50):
        mean = np.exp(np.clip(x @ parameters, -30.0, 30.0))
        step = np.linalg.solve((x.T * mean) @ x + ridge * max(float(mean.mean()), 1e-6), x.T @ (values - mean))
        longest = float(np.abs(step).max())
        parameters = parameters + step * min(1.0, 2.0 / max(longest, 1e-12))
        if longest < 1e-8:
            break
    return np.where(absent, 0.0, parameters / np.where(absent, 1.0, size)) if np.isfinite(parameters).all() else None
