"""The change of basis between two crystals that are the same lattice, nearly in the same orientation or turned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spindle.errors import UserError
from spindle.models import Crystal
from spindle.symmetry import ChangeOfBasis, niggli_reduce, primitive_operator

from .misorientation import angle_and_axis

#: Components of new basis vectors in the old, reduced basis: enough for any other nearly reduced basis.
LARGEST_COMPONENT = 2
#: Misfits of cells that differ by less than this (see `like_bases`) count as equal: orientations decide.
EQUAL_MISFIT = 0.01


@dataclass(frozen=True, slots=True)
class Match:
    """How one crystal's basis becomes that of another.

    Attributes
    ----------
    operator : ChangeOfBasis
        From the basis of the first crystal to that of the second.
    rotation : (3, 3) float64
        Turns the first crystal, in its new basis, to the second, in the goniometer's frame.
    angle_deg : float
    axis : (3,) float64
        Of the rotation; 0 0 0 when there is none.
    """

    operator: ChangeOfBasis
    rotation: np.ndarray
    angle_deg: float
    axis: np.ndarray


def like_bases(metric: np.ndarray, target: np.ndarray, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """All bases of a reduced lattice whose metric is near to a target.

    Parameters
    ----------
    metric, target : (3, 3) float64, angstrom squared
        Metric tensors of two reduced bases.
    tolerance : float
        Largest difference of an element of the metric, as a fraction of the product of the edges of the target.

    Returns
    -------
    matrices : (n, 3, 3) int64
        Rows: the new basis vectors in the old ones; determinant 1.
    misfits : (n,) float64
        Largest difference of an element of the metric, as above.
    """
    grid = np.array(np.meshgrid(*[range(-LARGEST_COMPONENT, LARGEST_COMPONENT + 1)] * 3)).reshape(3, -1).T
    squared = np.einsum("ni,ij,nj->n", grid, metric, grid)
    edges = np.sqrt(np.diag(target))
    like = [grid[np.abs(squared - edge**2) <= tolerance * edge**2] for edge in edges]
    i, j, k = (v.ravel() for v in np.meshgrid(*[np.arange(len(v)) for v in like], indexing="ij"))
    options = np.stack([like[0][i], like[1][j], like[2][k]], axis=1)
    options = options[np.rint(np.linalg.det(options)) == 1] if len(options) else options
    difference = (options @ metric @ np.swapaxes(options, 1, 2) - target) / np.outer(edges, edges)
    misfits = np.abs(difference).max(axis=(1, 2), initial=0.0)
    return options[misfits <= tolerance], misfits[misfits <= tolerance]


def match(first: Crystal, second: Crystal, tolerance: float = 0.1) -> Match:
    """The change of basis to the second crystal's that needs the smallest rotation.

    Parameters
    ----------
    first, second : Crystal
        Of one lattice, in any settings.
    tolerance : float
        By how much the cells may differ, see `like_bases`.

    Raises
    ------
    UserError
        If no basis of the first lattice is like that of the second.
    """
    to_primitive = [primitive_operator(c.space_group) for c in (first, second)]
    bases = [p.matrix @ c.real_space for p, c in zip(to_primitive, (first, second), strict=True)]
    (one, two), (turn_one, turn_two) = niggli_reduce(np.array(bases))
    options, misfits = like_bases(one @ one.T, two @ two.T, tolerance)
    if not len(options):
        raise UserError(
            f"the cells {_cell(first)} and {_cell(second)} are not those of one lattice: no basis of the first has "
            "edges and angles like those of the second"
        )
    turns = _rotations(options @ one, two)
    angles = np.degrees(np.arccos(np.clip((np.trace(turns, axis1=1, axis2=2) - 1.0) / 2.0, -1.0, 1.0)))
    near = misfits <= misfits.min() + EQUAL_MISFIT
    best = int(np.flatnonzero(near)[np.argmin(angles[near])])
    whole = np.linalg.inv(turn_two) @ options[best] @ turn_one
    operator = to_primitive[1].inverse() @ ChangeOfBasis(np.rint(whole)) @ to_primitive[0]
    rounded = ChangeOfBasis(np.rint(operator.matrix * 24) / 24)
    angle, axis = angle_and_axis(turns[best])
    return Match(rounded, turns[best], angle, axis)


def _rotations(bases: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(n, 3, 3) rotations that take the rows of each basis nearest to those of the target."""
    change = np.swapaxes(np.linalg.inv(bases) @ target, 1, 2)
    left, _, right = np.linalg.svd(change)
    return np.asarray(left @ right)


def _cell(crystal: Crystal) -> str:
    return " ".join(f"{v:.2f}" for v in crystal.cell) + f" ({crystal.space_group.xhm()})"
