"""Conventional settings: from rotations of a reduced lattice to the cell that the field would choose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import gemmi
import numpy as np

#: Order of a rotation from its trace.
_ORDER = {3: 1, -1: 2, 0: 3, 1: 4, 2: 6}


@dataclass(frozen=True)
class Setting:
    """A conventional cell.

    Attributes
    ----------
    matrix : (3, 3) float64
        Rows: the new basis vectors in the reduced basis.
    group : gemmi.SpaceGroup
        Chiral symmorphic group in that cell.
    """

    matrix: np.ndarray
    group: gemmi.SpaceGroup


def rotation_order(rotation: np.ndarray) -> int:
    """1, 2, 3, 4 or 6."""
    return _ORDER[int(np.trace(rotation))]


@lru_cache(maxsize=1)
def _small_vectors() -> np.ndarray:
    """Integer vectors with components up to 3, all but zero."""
    grid = np.array(np.meshgrid(*[range(-3, 4)] * 3)).reshape(3, -1).T
    return grid[np.any(grid != 0, axis=1)]


def conventional_setting(
    rotations: Sequence[np.ndarray], metric: np.ndarray, best_monoclinic_beta: bool = True
) -> Setting | None:
    """Conventional cell of a rotation group of a primitive reduced lattice.

    Parameters
    ----------
    rotations : list of (3, 3) int64
        The group, acting on coordinates in the reduced basis.
    metric : (3, 3) float64, angstrom squared
        Metric of the reduced basis; orders axes where symmetry leaves a choice.
    best_monoclinic_beta
        Allow the I setting of a C-centred monoclinic lattice.

    Returns
    -------
    Setting or None
        None for a group without a tabulated setting.
    """
    orders = [rotation_order(r) for r in rotations]
    top = max(orders)
    if top == 1:
        return Setting(np.eye(3), gemmi.SpaceGroup("P 1"))
    if len(rotations) == 2:
        candidates = _monoclinic_cells(rotations[orders.index(2)], metric, best_monoclinic_beta)
    elif orders.count(3) == 8:  # cubic: 23 has three two-folds, 432 three four-folds along the edges
        edge = 4 if top == 4 else 2
        candidates = [_cell_of_axes(_unique_axes(rotations, orders, edge))]
    elif top == 2:
        candidates = _orthorhombic_cells(_unique_axes(rotations, orders, 2), metric)
    else:
        candidates = _uniaxial_cells(rotations[orders.index(top)], top, metric)
    for matrix in candidates:
        group = _group_in_cell(rotations, matrix)
        if group is not None and group.centring_type() not in "AB":
            return Setting(matrix.astype(float), group)
    return None


def _axis(rotation: np.ndarray) -> np.ndarray:
    """Primitive lattice vector along the axis."""
    order = rotation_order(rotation)
    total = np.sum([np.linalg.matrix_power(rotation, n) for n in range(order)], axis=0)
    column = total[:, np.argmax(np.abs(total).sum(axis=0))]
    return np.asarray(column // np.gcd.reduce(column))


def _unique_axes(rotations: Sequence[np.ndarray], orders: list[int], order: int) -> list[np.ndarray]:
    axes: list[np.ndarray] = []
    for rotation, n in zip(rotations, orders, strict=True):
        if n == order:
            axis = _axis(rotation)
            if not any(np.array_equal(axis, a) or np.array_equal(axis, -a) for a in axes):
                axes.append(axis)
    return axes


def _right_handed(matrix: np.ndarray) -> np.ndarray:
    return matrix if np.linalg.det(matrix) > 0 else -matrix


def _cell_of_axes(axes: list[np.ndarray]) -> np.ndarray:
    return _right_handed(np.array(axes))


def _length(vector: np.ndarray, metric: np.ndarray) -> float:
    return float(np.sqrt(vector @ metric @ vector))


def _orthorhombic_cells(axes: list[np.ndarray], metric: np.ndarray) -> list[np.ndarray]:
    """a <= b <= c, but the centred face last: C 2 2 2."""
    x, y, z = sorted(axes, key=lambda v: round(_length(v, metric), 6))
    return [_right_handed(np.array(m)) for m in ((x, y, z), (x, z, y), (y, z, x))]


def _in_plane(rotation: np.ndarray, metric: np.ndarray) -> np.ndarray:
    """Lattice vectors perpendicular to the axis, shortest first."""
    plane = _axis(rotation.T)  # the reciprocal axis is the normal
    vectors = _small_vectors()[(_small_vectors() @ plane) == 0]
    lengths = np.einsum("ni,ij,nj->n", vectors, metric, vectors)
    return np.asarray(vectors[np.argsort(lengths, kind="stable")])


def _uniaxial_cells(rotation: np.ndarray, order: int, metric: np.ndarray) -> list[np.ndarray]:
    """c along the main axis, a the shortest vector across it, b its image; hR obverse."""
    average = _symmetrised(metric, rotation, order)
    c = _axis(rotation)
    a = _in_plane(rotation, average)[0]
    turn = rotation if order != 6 else rotation @ rotation
    b = turn @ a
    if np.linalg.det(np.array([a, b, c])) < 0:
        c = -c
    cell = np.array([a, b, c])
    if order == 3 and round(np.linalg.det(cell)) == 3:
        flipped = np.array([-a, -b, c])
        return [m for m in (cell, flipped) if _is_obverse(m)]
    return [cell]


def _symmetrised(metric: np.ndarray, rotation: np.ndarray, order: int) -> np.ndarray:
    powers = [np.linalg.matrix_power(rotation, n) for n in range(order)]
    return np.asarray(sum(p.T @ metric @ p for p in powers) / order)


def _is_obverse(matrix: np.ndarray) -> bool:
    """Whether the lattice point (2/3, 1/3, 1/3) of an R-centred hexagonal cell exists."""
    point = np.array([2, 1, 1]) @ matrix
    return bool(np.all(point % 3 == 0))


def _monoclinic_cells(rotation: np.ndarray, metric: np.ndarray, allow_i: bool) -> list[np.ndarray]:
    """b along the two-fold, beta obtuse and as close to 90 degrees as the lattice allows; P, C or I."""
    average = _symmetrised(metric, rotation, 2)
    b = _axis(rotation)
    short = _in_plane(rotation, average)
    p = short[0]
    q = next(v for v in short if np.any(np.cross(v, p) != 0))
    volume = abs(round(np.linalg.det(np.array([p, b, q]))))
    combinations = _plane_bases()
    a = combinations[:, :1] * p + combinations[:, 1:2] * q
    c = combinations[:, 2:3] * p + combinations[:, 3:] * q
    dot = np.einsum("ni,ij,nj->n", a, average, c)
    a_length = np.sqrt(np.einsum("ni,ij,nj->n", a, average, a))
    c_length = np.sqrt(np.einsum("ni,ij,nj->n", c, average, c))
    keep = dot <= 1e-6 * volume
    in_c = np.all((a + b) % 2 == 0, axis=1) if volume == 2 else np.ones(len(a), dtype=bool)
    if volume == 2:
        keep &= in_c | (np.all((a + b + c) % 2 == 0, axis=1) & allow_i)
    cosine = np.round(np.abs(dot) / (a_length * c_length), 5)
    longer_a = (a_length > c_length * (1 + 1e-6)) & ((volume == 1) | ~in_c)
    total = np.round(a_length + c_length, 4)
    rows = np.flatnonzero(keep)
    order = rows[np.lexsort((total[rows], longer_a[rows], ~in_c[rows], cosine[rows]))]
    cells = []
    for i in order[:4]:
        cell = np.array([a[i], b, c[i]])
        cells.append(cell if np.linalg.det(cell) > 0 else np.array([a[i], -b, c[i]]))
    return cells


@lru_cache(maxsize=1)
def _plane_bases() -> np.ndarray:
    """Coefficients (i, j, k, m) of all bases i p + j q, k p + m q of a plane lattice, up to 2 in size."""
    grid = np.array(np.meshgrid(*[range(-2, 3)] * 4)).reshape(4, -1).T
    return np.asarray(grid[np.abs(grid[:, 0] * grid[:, 3] - grid[:, 1] * grid[:, 2]) == 1])


def _group_in_cell(rotations: Sequence[np.ndarray], matrix: np.ndarray) -> gemmi.SpaceGroup | None:
    """The group's operators in the new cell with its lattice points, named by gemmi."""
    change = np.linalg.inv(matrix).T  # coordinates: x' = change x
    volume = round(abs(np.linalg.det(matrix)))
    grid = np.array(np.meshgrid(*[range(volume)] * 3)).reshape(3, -1).T if volume > 1 else np.zeros((1, 3), dtype=int)
    points = grid[np.all((grid @ np.rint(matrix).astype(int)) % volume == 0, axis=1)] / volume
    ops = []
    for rotation in rotations:
        turned = change @ rotation @ np.linalg.inv(change)
        whole = np.rint(turned)
        if np.abs(turned - whole).max() > 1e-6:
            return None
        for point in points:
            op = gemmi.Op()
            op.rot = (whole * gemmi.Op.DEN).astype(int).tolist()
            op.tran = np.rint(point * gemmi.Op.DEN).astype(int).tolist()
            ops.append(op)
    return gemmi.find_spacegroup_by_ops(gemmi.GroupOps(ops))
