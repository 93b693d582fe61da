"""What the user knows about the crystal: space group, unit cell, or both."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import gemmi
import numpy as np

from spindle.contracts.indexing import KnownLattice
from spindle.errors import ParameterError
from spindle.models import Crystal
from spindle.symmetry import (
    ChangeOfBasis,
    bravais_type,
    cell_parameters,
    constrain_A,
    lattice_subgroups,
    niggli_reduce,
    orthogonalisation,
    possible_two_folds,
    primitive_operator,
    rotations,
    space_group,
    symmetrise_cell,
    two_fold_deviations,
)

from .triclinic import nearest_to_right_angles

#: Number of two-folds, and of all rotations, of the lattices of each crystal family.
TWO_FOLDS = {"a": 0, "m": 1, "o": 3, "t": 5, "h": 7, "hR": 3, "c": 9}
ROTATIONS = {"a": 1, "m": 2, "o": 4, "t": 8, "h": 12, "hR": 6, "c": 24}


@dataclass(frozen=True)
class KnownSymmetry:
    """Space group and cell that candidates must be compatible with.

    Attributes
    ----------
    group : gemmi.SpaceGroup
    cell : (6,) float64 or None
        In the setting of the group, symmetrised.
    length_tolerance, angle_tolerance_deg, max_delta_deg : float
    group_is_given : bool
        False where only the cell is known: then the group is P 1, and symmetry may find another.
    """

    group: gemmi.SpaceGroup
    cell: np.ndarray | None
    length_tolerance: float
    angle_tolerance_deg: float
    max_delta_deg: float
    group_is_given: bool = True

    @classmethod
    def from_params(cls, params: Any) -> KnownSymmetry | None:
        """From the scope ``indexing.known_symmetry``; None when nothing is known.

        Raises
        ------
        ParameterError
            If the cell does not have the symmetry of the space group.
        """
        if params.space_group is None and params.unit_cell is None:
            return None
        group = space_group("P 1" if params.space_group is None else params.space_group)
        cell = None
        if params.unit_cell is not None:
            given = np.array(params.unit_cell, dtype=float)
            cell = symmetrise_cell(given, group)
            if np.any(np.abs(cell[:3] / given[:3] - 1) > 0.02) or np.any(np.abs(cell[3:] - given[3:]) > 1):
                raise ParameterError(
                    f"indexing.known_symmetry: the unit cell {given.tolist()} does not have the symmetry of "
                    f"{group.xhm()}; "
                    f"the nearest that has is {np.round(cell, 2).tolist()}"
                )
        return cls(
            group, cell, params.relative_length_tolerance, params.absolute_angle_tolerance, params.max_delta,
            params.space_group is not None,
        )  # fmt: skip

    def crystal(self, A: np.ndarray) -> Crystal:
        """A crystal of the known group; the mark that the user gave it goes with it to the end."""
        return Crystal(A=A).with_space_group(self.group, known=self.group_is_given)

    @property
    def reduced_cell(self) -> np.ndarray | None:
        """Niggli cell, (6,) angstrom and degrees."""
        if self.cell is None:
            return None
        primitive = primitive_operator(self.group).matrix @ orthogonalisation(self.cell).T
        return cell_parameters(niggli_reduce(primitive)[0])

    def as_contract(self) -> KnownLattice:
        """What indexing methods are told."""
        return KnownLattice(self.group.hall if self.group_is_given else None, self.cell, self.reduced_cell)

    @property
    def volume(self) -> float | None:
        """Volume of the known cell, cubic angstrom."""
        return None if self.cell is None else float(gemmi.UnitCell(*self.cell).volume)

    def longest_primitive_edge(self) -> float | None:
        """Longest edge of the reduced cell, angstrom."""
        reduced = self.reduced_cell
        return None if reduced is None else float(reduced[:3].max())

    def setting_of(self, basis: np.ndarray) -> ChangeOfBasis | None:
        """How a reduced basis becomes the setting of the known group.

        Parameters
        ----------
        basis : (3, 3) float64, angstrom
            Rows of a Niggli-reduced primitive basis.

        Returns
        -------
        ChangeOfBasis or None
            None when the lattice is not compatible.
        """
        if not self.may_fit(basis[None])[0]:
            return None
        if self.cell is not None:
            return self._setting_with_cell(basis)
        return self._setting_without_cell(basis)

    def constrained(self, basis: np.ndarray) -> np.ndarray | None:
        """Matrix A (3, 3) in the known setting with the exact symmetry, or None."""
        operator = self.setting_of(basis)
        if operator is None:
            return None
        return constrain_A(np.linalg.inv(operator.matrix @ basis), self.group)

    def may_fit(self, bases: np.ndarray) -> np.ndarray:
        """Quick test of many cells: about the right volume, if the cell is known, and enough two-folds.

        Parameters
        ----------
        bases : (n, 3, 3) float64, angstrom
            Rows of Niggli-reduced primitive bases.

        Returns
        -------
        (n,) bool
        """
        fits = np.ones(len(bases), np.bool_)
        if self.cell is not None:
            volume = gemmi.UnitCell(*self.cell).volume * abs(np.linalg.det(primitive_operator(self.group).matrix))
            ratio = np.abs(np.linalg.det(bases)) / volume
            largest = (1 + self.length_tolerance) ** 3
            fits = (ratio >= 1 / largest) & (ratio <= largest)
        lattice = bravais_type(self.group)
        needed = TWO_FOLDS.get(lattice, TWO_FOLDS[lattice[0]])
        if needed and fits.any():
            deviations = two_fold_deviations(bases[fits], possible_two_folds())
            fits[fits] = np.count_nonzero(deviations <= self.max_delta_deg, axis=1) >= needed
        return fits

    def _setting_without_cell(self, basis: np.ndarray) -> ChangeOfBasis | None:
        """The lattice symmetry of the wanted type with the best metric fit, in the setting of the known group."""
        if self.group.number <= 2 and self.group.centring_type() != "P":
            return nearest_to_right_angles(basis, self.group)
        wanted = bravais_type(self.group)
        body_centred = wanted == "mC" and self.group.xhm() == "I 1 2 1"
        best = None
        order = ROTATIONS.get(wanted, ROTATIONS[wanted[0]])
        for candidate in lattice_subgroups(basis, "P 1", self.max_delta_deg, body_centred, order=order):
            found = "mC" if candidate.bravais == "mI" else candidate.bravais
            if found == wanted and (best is None or candidate.max_angular_difference < best.max_angular_difference):
                best = candidate
        if best is None:
            return None
        if best.bravais == "mI":
            return best.to_best
        reference = gemmi.get_spacegroup_reference_setting(self.group.number)
        to_reference = best.to_best
        if reference.centring_type() == "A" and best.group.centring_type() == "C":  # numbers 38 to 41
            to_reference = ChangeOfBasis.from_string("c,a,b") @ to_reference
        if self.group.is_reference_setting():
            return to_reference
        # gemmi: x_group = basisop x_reference, so the basis vectors are the rows of the inverse transpose
        basisop = np.array(self.group.basisop.rot, dtype=float) / gemmi.Op.DEN
        to_group = ChangeOfBasis(np.linalg.inv(basisop.T))
        if wanted[0] != "m":
            return to_group @ to_reference
        turn = ChangeOfBasis.from_string("c,b,-a-c")
        return self._with_obtuse_angle(
            basis, [to_group @ t @ to_reference for t in (turn @ turn @ turn, turn, turn @ turn)]
        )

    def _with_obtuse_angle(self, basis: np.ndarray, settings: list[ChangeOfBasis]) -> ChangeOfBasis:
        """The cell of a monoclinic setting whose oblique angle is obtuse and as close to 90 degrees as its centring allows.

        Glide planes are not known before intensities are, so that the reduced cell of the setting that the user names is the best
        guess, and not the cell that the reference setting leads to. A cell that is centred in the plane of that angle (B 1 2 1) is one of
        three that are twice as large; `settings` are all of them.
        """
        unique = "abc".index(self.group.monoclinic_unique_axis())
        i, j = (axis for axis in range(3) if axis != unique)
        grid = np.array(np.meshgrid(*[range(-2, 3)] * 4)).reshape(4, -1).T
        grid = grid[np.argsort(np.abs(grid - (1, 0, 0, 1)).sum(axis=1), kind="stable")]
        grid = grid[np.abs(grid[:, 0] * grid[:, 3] - grid[:, 1] * grid[:, 2]) == 1]
        best, best_cosine = settings[0], np.inf
        for setting, (p, q, r, s) in product(settings, grid):
            change = np.zeros((3, 3))
            change[i, i], change[i, j], change[j, i], change[j, j], change[unique, unique] = p, q, r, s, p * s - q * r
            matrix = change @ setting.matrix
            points = primitive_operator(self.group).matrix @ matrix
            u, v = matrix[i] @ basis, matrix[j] @ basis
            cosine = float(u @ v / np.sqrt((u @ u) * (v @ v)))
            if cosine <= 1e-4 and abs(cosine) < best_cosine - 1e-4 and np.abs(points - np.rint(points)).max() < 1e-6:
                best, best_cosine = ChangeOfBasis(matrix), abs(cosine)
        return best

    def _setting_with_cell(self, basis: np.ndarray) -> ChangeOfBasis | None:
        """The basis of lattice vectors nearest to the known cell that the space group allows."""
        assert self.cell is not None
        target = orthogonalisation(self.cell).T
        target_metric = target @ target.T
        centring = np.linalg.inv(primitive_operator(self.group).matrix)
        n_points = round(abs(np.linalg.det(centring)))
        grid = np.array(np.meshgrid(*[range(-4, 5)] * 3)).reshape(3, -1).T
        vectors = grid @ basis
        lengths = np.linalg.norm(vectors, axis=1)
        like = [np.flatnonzero(np.abs(lengths / length - 1) < self.length_tolerance) for length in self.cell[:3]]
        if any(len(rows) == 0 for rows in like):
            return None
        unit = vectors / np.maximum(lengths, 1e-9)[:, None]

        def angle(rows_u: np.ndarray, rows_v: np.ndarray) -> np.ndarray:
            return np.degrees(np.arccos(np.clip(unit[rows_u] @ unit[rows_v].T, -1, 1)))

        a_rows = like[0]
        i, j = np.nonzero(np.abs(angle(a_rows, like[1]) - self.cell[5]) < self.angle_tolerance_deg)
        a, b = a_rows[i], like[1][j]
        if len(a) == 0 or len(a) > 20000:
            return None
        fits = np.abs(angle(a, like[2]) - self.cell[4]) < self.angle_tolerance_deg
        fits &= np.abs(angle(b, like[2]) - self.cell[3]) < self.angle_tolerance_deg
        row, k = np.nonzero(fits)
        options = np.stack([grid[a[row]], grid[b[row]], grid[like[2][k]]], axis=1)
        options = options[np.rint(np.linalg.det(options)) == n_points]
        turn = rotations(self.group).astype(float)
        best, best_misfit = None, np.inf
        for matrix in options:
            points = np.linalg.inv(centring) @ matrix
            if np.any(np.abs(points - np.rint(points)) > 1e-6):
                continue  # the lattice points of the centring are not lattice points of the crystal
            metric = (matrix @ basis) @ (matrix @ basis).T
            symmetric = np.mean(np.swapaxes(turn, 1, 2) @ metric @ turn, axis=0)
            misfit = float(np.linalg.norm(metric - symmetric) + 0.1 * np.linalg.norm(metric - target_metric))
            if misfit < best_misfit - 1e-9:
                best, best_misfit = matrix, misfit
        return None if best is None else ChangeOfBasis(best)
