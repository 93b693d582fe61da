"""Lattice symmetry after Le Page: two-folds of a reduced cell, the groups they make, and conventional settings.

References
----------
Le Page (1982), J. Appl. Cryst. 15, 255; Lebedev, Vagin & Murshudov (2006), Acta Cryst. D62, 83;
Grosse-Kunstleve, Sauter & Adams (2004), Acta Cryst. A60, 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import gemmi
import numpy as np
import numpy.typing as npt

from .change_of_basis import ChangeOfBasis
from .metric import average_metric
from .reduction import cell_parameters, niggli_reduce, orthogonalisation
from .settings import Setting, conventional_setting, rotation_order
from .space_groups import BRAVAIS_LOWEST, SpaceGroupLike, bravais_type, space_group

#: Space group numbers of the holohedral chiral groups: the 14 Bravais types.
HOLOHEDRIES = frozenset({1, 3, 5, 16, 21, 22, 23, 89, 97, 155, 177, 207, 209, 211})


@dataclass(frozen=True)
class TwoFolds:
    """Possible two-fold rotations of a reduced cell.

    Attributes
    ----------
    rotations : (n, 3, 3) int64
        Acting on coordinates (columns).
    direct_axes, reciprocal_axes : (n, 3) int64
        Axis as a lattice vector (u v w) and as a reciprocal lattice vector (h k l).
    """

    rotations: np.ndarray
    direct_axes: np.ndarray
    reciprocal_axes: np.ndarray


@lru_cache(maxsize=1)
def possible_two_folds() -> TwoFolds:
    """The 81 matrices with elements -1, 0, 1, determinant 1 and R R = 1, other than the identity."""
    values = np.array(np.meshgrid(*[[-1, 0, 1]] * 9, indexing="ij")).reshape(9, -1).T.reshape(-1, 3, 3)
    squares = values @ values
    identity = np.eye(3, dtype=np.int64)
    found = values[np.all(squares == identity, axis=(1, 2)) & (np.trace(values, axis1=1, axis2=2) == -1)]
    return TwoFolds(found, _axes(found), _axes(np.swapaxes(found, 1, 2)))


def _axes(rotations: np.ndarray) -> np.ndarray:
    """Shortest integer vector that each two-fold leaves as it is: a column of R + 1, made primitive."""
    axes = []
    for r in rotations + np.eye(3, dtype=np.int64):
        column = r[:, np.argmax(np.abs(r).sum(axis=0))]
        column = column // np.gcd.reduce(column)
        first = column[np.flatnonzero(column)[0]]
        axes.append(column * np.sign(first))
    return np.array(axes)


def two_fold_deviations(basis: np.ndarray, two_folds: TwoFolds | None = None) -> np.ndarray:
    """Le Page's delta of each two-fold: the angle between its direct and its reciprocal axis.

    Parameters
    ----------
    basis : (..., 3, 3) float64, angstrom
        Rows a, b, c of reduced cells.
    two_folds
        By default all 81.

    Returns
    -------
    (..., n) float64, degrees
    """
    two_folds = two_folds or possible_two_folds()
    direct = two_folds.direct_axes @ basis
    reciprocal = two_folds.reciprocal_axes @ np.swapaxes(np.linalg.inv(basis), -1, -2)
    cross = np.linalg.norm(np.cross(direct, reciprocal), axis=-1)
    return np.asarray(np.degrees(np.arctan2(cross, np.abs(np.sum(direct * reciprocal, axis=-1)))))


def close_group(generators: Sequence[np.ndarray], limit: int = 24) -> list[np.ndarray] | None:
    """All products of the generators, identity first; None when there are more than `limit`."""
    identity = np.eye(3, dtype=np.int64)
    elements = {identity.tobytes(): identity}
    new = [identity]
    while new:
        following = []
        for element in new:
            for generator in generators:
                product = element @ generator
                key = product.tobytes()
                if key not in elements:
                    elements[key] = product
                    following.append(product)
                    if len(elements) > limit:
                        return None
        new = following
    return list(elements.values())


def max_deviation(basis: np.ndarray, rotations: Sequence[np.ndarray]) -> float:
    """Largest Le Page delta of the two-folds among `rotations`, degrees."""
    folds = np.array([r for r in rotations if rotation_order(r) == 2])
    if len(folds) == 0:
        return 0.0
    table = TwoFolds(folds, _axes(folds), _axes(np.swapaxes(folds, 1, 2)))
    return float(two_fold_deviations(basis, table).max())


def lattice_group(basis: np.ndarray, max_delta: float = 5.0) -> list[np.ndarray]:
    """Rotations of the lattice within a tolerance.

    Parameters
    ----------
    basis : (3, 3) float64, angstrom
        Rows a, b, c of a reduced cell.
    max_delta
        Largest Le Page delta of any of its two-folds, degrees.

    Returns
    -------
    list of (3, 3) int64
        Identity first; they act on coordinates in the reduced basis.
    """
    folds = possible_two_folds()
    delta = two_fold_deviations(basis, folds)
    generators: list[np.ndarray] = []
    group = [np.eye(3, dtype=np.int64)]
    for i in np.argsort(delta, kind="stable"):
        if delta[i] > max_delta:
            break
        if any(np.array_equal(folds.rotations[i], r) for r in group):
            continue
        larger = close_group([*generators, folds.rotations[i]])
        if larger is None or max_deviation(basis, larger) > max_delta:
            continue
        generators.append(folds.rotations[i])
        group = larger
    return group


def subgroups(group: Sequence[np.ndarray]) -> list[list[np.ndarray]]:
    """All subgroups of a rotation group of a lattice, which two generators suffice to make."""
    found: dict[frozenset[bytes], list[np.ndarray]] = {}
    for i, first in enumerate(group):
        for second in group[i:]:
            made = close_group([first, second])
            assert made is not None  # inside a group of 24 at most
            found.setdefault(frozenset(r.tobytes() for r in made), made)
    return list(found.values())


@dataclass(frozen=True)
class LatticeSubgroup:
    """One possible symmetry of a lattice.

    Attributes
    ----------
    bravais : str
        Type of the lattice, such as ``tP``; ``mI`` is a C-centred monoclinic lattice in its I setting.
    group : gemmi.SpaceGroup
        The chiral symmorphic group in the best setting.
    to_best : ChangeOfBasis
        From the input cell to the best cell.
    best_cell : (6,) float64
        The cell in that setting, symmetrised; angstrom, degrees.
    max_angular_difference : float
        Largest Le Page delta of the two-folds that this metric has, degrees: 0 for a perfect fit.
    rotations : list of (3, 3) int64
        The group in the reduced basis.
    to_reduced : ChangeOfBasis
        From the input cell to the reduced cell.
    """

    bravais: str
    group: gemmi.SpaceGroup
    to_best: ChangeOfBasis
    best_cell: np.ndarray
    max_angular_difference: float
    rotations: list[np.ndarray]
    to_reduced: ChangeOfBasis

    @property
    def lowest_group(self) -> gemmi.SpaceGroup:
        """Space group of lowest symmetry with this Bravais type, in this setting: what refinement is constrained to."""
        return space_group(BRAVAIS_LOWEST[self.bravais])


def lattice_subgroups(
    cell: npt.ArrayLike,
    group: SpaceGroupLike = "P 1",
    max_delta: float = 5.0,
    best_monoclinic_beta: bool = True,
    holohedries_only: bool = True,
    order: int | None = None,
) -> list[LatticeSubgroup]:
    """All symmetries that a lattice has within a tolerance, each in its conventional setting.

    Parameters
    ----------
    cell : (6,) or (3, 3)
        Unit cell (angstrom, degrees) or its basis vectors as rows.
    group
        Space group of the input cell: only its centring counts.
    max_delta
        Le Page tolerance, degrees.
    best_monoclinic_beta
        Take I 1 2 1 rather than C 1 2 1 where its beta is closer to 90 degrees.
    holohedries_only
        Leave out groups that are not the full symmetry of a Bravais lattice, such as P 4.
    order
        Only groups of that many rotations, for example 8 for P 4 2 2.

    Returns
    -------
    list of LatticeSubgroup
        Worst metric fit first; equal fits (0.01 degrees) by descending space group number. The last is triclinic.
    """
    given = np.asarray(cell, dtype=float)
    basis = orthogonalisation(given).T if given.shape == (6,) else given
    to_primitive = primitive_operator(group)
    reduced, transform = niggli_reduce(to_primitive.matrix @ basis)
    to_reduced = ChangeOfBasis(transform) @ to_primitive
    metric = reduced @ reduced.T
    found = []
    for rotations in subgroups(lattice_group(reduced, max_delta)):
        if order is not None and len(rotations) != order:
            continue
        setting = conventional_setting(rotations, metric, best_monoclinic_beta)
        if setting is None or (holohedries_only and setting.group.number not in HOLOHEDRIES):
            continue
        symmetrised = average_metric(metric, rotations)
        found.append(
            LatticeSubgroup(
                bravais=_type_of(setting),
                group=setting.group,
                to_best=ChangeOfBasis(setting.matrix) @ to_reduced,
                best_cell=_cell_of_metric(setting.matrix @ symmetrised @ setting.matrix.T),
                max_angular_difference=_supergroup_deviation(reduced, symmetrised),
                rotations=rotations,
                to_reduced=to_reduced,
            )
        )
    found.sort(key=lambda s: (-round(s.max_angular_difference / 0.01), -s.group.number))
    return found


def primitive_operator(group: SpaceGroupLike) -> ChangeOfBasis:
    """From a centred cell to a primitive one; the identity for P."""
    centring = space_group(group).centring_type()
    if centring == "P":
        return ChangeOfBasis.identity()
    op = space_group(group).centred_to_primitive()
    # gemmi's operator takes primitive coordinates to centred ones: its columns are the primitive basis vectors
    return ChangeOfBasis(np.array(op.rot, dtype=float).T / gemmi.Op.DEN)


def _type_of(setting: Setting) -> str:
    return "mI" if setting.group.number == 5 and setting.group.hm.startswith("I") else bravais_type(setting.group)


def _cell_of_metric(metric: np.ndarray) -> np.ndarray:
    return cell_parameters(np.linalg.cholesky(metric))


def _supergroup_deviation(reduced: np.ndarray, symmetrised: np.ndarray) -> float:
    """Largest delta, in the true metric, of all two-folds that the symmetrised metric has."""
    folds = possible_two_folds()
    exact = two_fold_deviations(np.linalg.cholesky(symmetrised), folds) < 1e-5  # rounding errors: 1e-6
    return float(two_fold_deviations(reduced, folds)[exact].max(initial=0.0))
