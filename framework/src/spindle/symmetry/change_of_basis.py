"""Change of basis of cells, crystals, space groups and Miller indices."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeVar

import gemmi
import numpy as np
import numpy.typing as npt

from spindle.errors import ModelError, ParameterError

from .covariance import carry_covariance, carry_recalculated
from .space_groups import SpaceGroupLike, group_operations, space_group

CrystalT = TypeVar("CrystalT")


@dataclass(frozen=True, eq=False)
class ChangeOfBasis:
    """A change of the basis of the lattice.

    Attributes
    ----------
    matrix : (3, 3) float64
        M with (a', b', c') = M (a, b, c), the basis vectors as rows. Miller indices, as columns, transform alike:
        h' = M h. In the `abc` form of the operator, row i is basis vector i.
    shift : (3,) float64
        Shift of the `xyz` form: x' = M^-T x + shift.
    """

    matrix: np.ndarray
    shift: np.ndarray = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        matrix = np.array(self.matrix, dtype=float)
        shift = np.zeros(3) if self.shift is None else np.array(self.shift, dtype=float)
        if matrix.shape != (3, 3) or abs(np.linalg.det(matrix)) < 1e-6:
            raise ModelError(f"change of basis: matrix {matrix.tolist()} cannot be inverted")
        object.__setattr__(self, "matrix", matrix)
        object.__setattr__(self, "shift", shift)

    @classmethod
    def identity(cls) -> ChangeOfBasis:
        """The operator ``a,b,c``."""
        return cls(np.eye(3))

    @classmethod
    def from_string(cls, text: str) -> ChangeOfBasis:
        """Read ``a,b,c`` (new basis vectors), ``h,k,l`` (new indices) or ``x,y,z`` (new coordinates) notation.

        Raises
        ------
        ParameterError
            If the text is no such operator.
        """
        letters = {c for c in text.lower() if c.isalpha()}
        written = re.sub(r"(\d)\s*(?=[a-z])", r"\1*", text.lower())  # 1/2k, as other programs take it
        try:
            if letters <= set("abc") and letters:
                op = gemmi.Op(written.translate(str.maketrans("abc", "xyz")))
                return cls(np.array(op.rot, dtype=float) / gemmi.Op.DEN)
            if letters <= set("hkl") and letters:
                op = gemmi.Op(written.translate(str.maketrans("hkl", "xyz")))
                return cls(np.array(op.rot, dtype=float) / gemmi.Op.DEN)
            if letters <= set("xyz") and letters:
                op = gemmi.Op(written)
                rot = np.array(op.rot, dtype=float) / gemmi.Op.DEN
                return cls(np.linalg.inv(rot).T, np.array(op.tran, dtype=float) / gemmi.Op.DEN)
        except (RuntimeError, ValueError) as error:
            raise ParameterError(f"change of basis: {text!r} is no operator: {error}") from error
        raise ParameterError(f"change of basis: {text!r} is no operator such as 'a,b,c', 'h,k,l' or 'x,y,z'")

    @property
    def xyz_rotation(self) -> np.ndarray:
        """(3, 3) matrix of the coordinates: x' = xyz_rotation x + shift."""
        return np.asarray(np.linalg.inv(self.matrix).T)

    def as_abc(self) -> str:
        """New basis vectors, such as ``a+b,-a+b,c``."""
        return _format(self.matrix, "abc")

    def as_hkl(self) -> str:
        """New indices, such as ``h+k,-h+k,l``."""
        return _format(self.matrix, "hkl")

    def as_xyz(self) -> str:
        """New coordinates, such as ``1/2*x-1/2*y,1/2*x+1/2*y,z``."""
        return _format(self.xyz_rotation, "xyz", self.shift)

    def __matmul__(self, first: ChangeOfBasis) -> ChangeOfBasis:
        """The operator that does `first`, then this one."""
        return ChangeOfBasis(self.matrix @ first.matrix, self.xyz_rotation @ first.shift + self.shift)

    def inverse(self) -> ChangeOfBasis:
        """The operator back."""
        return ChangeOfBasis(np.linalg.inv(self.matrix), -self.matrix.T @ self.shift)

    def is_identity(self) -> bool:
        """Whether nothing changes."""
        return bool(np.allclose(self.matrix, np.eye(3)) and np.allclose(self.shift, 0))

    def as_gemmi(self) -> gemmi.Op:
        """The same in the `xyz` form as a gemmi operator (denominator 24)."""
        op = gemmi.Op()
        op.rot = np.rint(self.xyz_rotation * gemmi.Op.DEN).astype(int).tolist()
        op.tran = np.rint(self.shift * gemmi.Op.DEN).astype(int).tolist()
        return op

    def apply_to_indices(self, hkl: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Transform Miller indices.

        Returns
        -------
        hkl : (n, 3) int32
        integral : (n,) bool
            False where the new index is not a whole number (such a row is rounded).
        """
        new = np.asarray(hkl, dtype=float) @ self.matrix.T
        rounded = np.rint(new)
        return rounded.astype(np.int32), np.all(np.abs(new - rounded) < 1e-3, axis=-1)

    def apply_to_cell(self, cell: npt.ArrayLike) -> np.ndarray:
        """Cell parameters in the new basis, (6,)."""
        from .reduction import cell_parameters, orthogonalisation

        return cell_parameters(self.matrix @ orthogonalisation(cell).T)

    def apply_to_group(self, group: SpaceGroupLike) -> gemmi.GroupOps:
        """Operators of the group in the new basis.

        Notes
        -----
        A larger cell gains lattice points and a smaller one loses them; both come out right.
        """
        old = group_operations(group)
        change, back = self.xyz_rotation, self.matrix.T
        lattice = _lattice_points(np.array(old.cen_ops, dtype=float) / gemmi.Op.DEN, self.matrix)
        ops = []
        for op in old.sym_ops:
            rot = np.array(op.rot, dtype=float) / gemmi.Op.DEN
            tran = np.array(op.tran, dtype=float) / gemmi.Op.DEN
            new_rot = change @ rot @ back
            new_tran = change @ tran + self.shift - new_rot @ self.shift
            for point in lattice:
                new = gemmi.Op()
                new.rot = np.rint(new_rot * gemmi.Op.DEN).astype(int).tolist()
                new.tran = np.rint((new_tran + point) * gemmi.Op.DEN).astype(int).tolist()
                ops.append(new.wrap())
        return gemmi.GroupOps(ops)


def _lattice_points(centring: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Lattice points of the new cell (fractions of it), the origin first, from those of the old cell."""
    steps = np.array(np.meshgrid(*[range(-4, 5)] * 3)).reshape(3, -1).T
    points = (steps[:, None, :] + centring[None]).reshape(-1, 3) @ np.linalg.inv(matrix)
    points = points - np.floor(points + 1e-6)
    points[np.abs(points - 1) < 1e-5] = 0
    unique = np.unique(np.rint(points * gemmi.Op.DEN).astype(int) % gemmi.Op.DEN, axis=0)
    return unique / gemmi.Op.DEN


def change_crystal_basis(crystal: CrystalT, operator: ChangeOfBasis, group: SpaceGroupLike | None = None) -> CrystalT:
    """The same crystal described in another basis.

    Parameters
    ----------
    crystal : spindle.models.Crystal
    operator
        Change of basis.
    group
        Space group in the new basis; by default that of the crystal, transformed.

    Returns
    -------
    spindle.models.Crystal
        A and A_at_scan_points in the new basis, A' = A M^-1, with the covariance of the cell and its recalculated values. A space group that the
        user gave is still what the user gave when `group` is not given.
    """
    model: Any = crystal
    back = np.linalg.inv(operator.matrix)
    known = None
    if group is None:
        group, known = operator.apply_to_group(model.space_group), model.space_group_is_known
    scan = None if model.A_at_scan_points is None else model.A_at_scan_points @ back
    changed = carry_covariance(model, model.with_A(model.A @ back, scan), operator.matrix)
    changed = carry_recalculated(model, changed, operator.matrix)
    result: CrystalT = changed.with_space_group(space_group(group), known)
    return result


def _format(matrix: np.ndarray, letters: str, shift: np.ndarray | None = None) -> str:
    rows = []
    for i, row in enumerate(matrix):
        text = ""
        for value, letter in zip(row, letters, strict=True):
            fraction = Fraction(float(value)).limit_denominator(24)
            if fraction == 0:
                continue
            size = abs(fraction)
            text += ("-" if fraction < 0 else "+") + (letter if size == 1 else f"{size}*{letter}")
        if shift is not None and abs(shift[i]) > 1e-6:
            move = Fraction(float(shift[i])).limit_denominator(24)
            text += f"{'-' if move < 0 else '+'}{abs(move)}"
        rows.append(text.lstrip("+") or "0")
    return ",".join(rows)
