"""The crystal: cell, orientation, space group; static or varying with the scan."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from spindle.errors import ModelError, ParameterError

from .arrays import fixed_array, number, shortened
from .descriptions import Described, numbers

if TYPE_CHECKING:
    import gemmi

    from spindle.symmetry import SpaceGroupLike

#: Key of a crystal's extra values, also in experiment files: the space group is what the user gave.
KNOWN = "space_group_is_known"


def orthogonalisation_matrix(cell: Any) -> np.ndarray:
    """(3, 3) matrix O of a cell (a, b, c in angstrom, angles in degrees): a along x, b in the xy plane (PDB convention)."""
    a, b, c, al, be, ga = (float(v) for v in cell)
    al, be, ga = np.deg2rad([al, be, ga])
    cos_a, cos_b, cos_g, sin_g = np.cos(al), np.cos(be), np.cos(ga), np.sin(ga)
    volume2 = 1.0 - cos_a**2 - cos_b**2 - cos_g**2 + 2.0 * cos_a * cos_b * cos_g
    if min(a, b, c) <= 0 or volume2 <= 0:
        raise ModelError(f"no such unit cell: {tuple(float(v) for v in cell)}")
    return np.array(
        [
            [a, b * cos_g, c * cos_b],
            [0.0, b * sin_g, c * (cos_a - cos_b * cos_g) / sin_g],
            [0.0, 0.0, c * np.sqrt(volume2) / sin_g],
        ]
    )


def cell_from_real_space(vectors: np.ndarray) -> np.ndarray:
    """(..., 6) cells (angstrom, degrees) from (..., 3, 3) matrices whose rows are a, b, c."""
    g = vectors @ np.swapaxes(vectors, -1, -2)
    lengths = np.sqrt(np.einsum("...ii->...i", g))
    cosines = np.stack(
        [
            g[..., 1, 2] / (lengths[..., 1] * lengths[..., 2]),
            g[..., 0, 2] / (lengths[..., 0] * lengths[..., 2]),
            g[..., 0, 1] / (lengths[..., 0] * lengths[..., 1]),
        ],
        axis=-1,
    )
    return np.concatenate([lengths, np.rad2deg(np.arccos(np.clip(cosines, -1.0, 1.0)))], axis=-1)


@lru_cache(maxsize=256)
def space_group_from_symbol(symbol: str) -> gemmi.SpaceGroup:
    """Space group from a Hall symbol (written with a leading blank), a Hermann-Mauguin symbol or a number as text.

    Raises
    ------
    ModelError
        If there is no such space group in the tables of settings.

    Notes
    -----
    A group that differs from a tabulated one by its origin only is taken for that one: intensities do not tell.

    The leading blank matters: `` P 4 2`` is the Hall symbol of P 4 2 2, ``P 4 2`` a way to write P 42. Code passes
    groups rather than texts.
    """
    from spindle.symmetry import origin_elsewhere, space_group

    try:
        return space_group(symbol)
    except ParameterError as error:
        if named := origin_elsewhere(symbol):
            return named
        reason = str(error).removeprefix("space group: ")
        if "no known symbol" in reason:
            reason = (
                f"'{symbol}' is no space group known to the tables: give a Hermann-Mauguin or Hall symbol or a number"
            )
        raise ModelError(reason) from error


def hall_symbol(group: SpaceGroupLike) -> str:
    """Hall symbol of a group, with the leading blank that marks it as one."""
    from spindle.symmetry import space_group

    if isinstance(group, str):
        return " " + space_group_from_symbol(group).hall
    return " " + space_group(group).hall


EDGES = (1.0, 5000.0)  # angstrom: shorter than any bond, longer than any crystal that gives separate spots


def _check_cells(A: np.ndarray, name: str) -> None:
    """Raise ModelError unless all matrices (n, 3, 3), 1/angstrom, are right-handed cells of possible size."""
    for matrix in A[~(np.linalg.det(A) > 1 / EDGES[1] ** 3)]:
        kind = "left-handed" if np.linalg.det(matrix) < -1 / EDGES[1] ** 3 else "singular"
        raise ModelError(f"{name}: the A matrix is {kind}: {shortened(matrix.tolist())}")
    cells = cell_from_real_space(np.linalg.inv(A)) if len(A) else np.empty((0, 6))
    edges = cells[:, :3]
    for cell in cells[((edges < EDGES[0]) | (edges > EDGES[1])).any(axis=1)]:
        listed = " ".join(f"{v:.6g}" for v in cell)
        raise ModelError(f"{name}: the cell is {listed}: edges of {EDGES[0]:g} to {EDGES[1]:g} A expected")


@dataclass(frozen=True, eq=False)
class Crystal(Described):
    """A crystal in its goniometer's frame at zero angles.

    Attributes
    ----------
    A : (3, 3) float64, 1/angstrom
        Takes Miller indices to reciprocal lattice points: r = A h; A = U B.
    hall : str
        Hall symbol of the space group; it gets a leading blank.
    A_at_scan_points : (n_images + 1, 3, 3) float64 or None
        A at image edges.
    mosaicity_deg : float or None
    cell_sd : (6,) float64 or None
        Estimated standard deviations of the cell, angstrom and degrees.
    extra : dict
    """

    A: np.ndarray
    hall: str = " P 1"
    A_at_scan_points: np.ndarray | None = None
    mosaicity_deg: float | None = None
    cell_sd: np.ndarray | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "A", fixed_array(self.A, (3, 3), "crystal A matrix"))
        _check_cells(self.A[None], "the crystal")
        object.__setattr__(self, "hall", " " + self.hall.strip())  # a Hall symbol whatever wrote it
        if self.A_at_scan_points is not None:
            points = fixed_array(self.A_at_scan_points, (-1, 3, 3), "A_at_scan_points")
            _check_cells(points, "A_at_scan_points")
            object.__setattr__(self, "A_at_scan_points", points)
        if self.mosaicity_deg is not None:
            object.__setattr__(self, "mosaicity_deg", number(self.mosaicity_deg, "the crystal's mosaicity", unit="deg"))
        if self.cell_sd is not None:
            object.__setattr__(self, "cell_sd", fixed_array(self.cell_sd, (6,), "standard deviations of the cell"))

    def described(self) -> tuple[str, list[tuple[str, str]]]:
        """Cell, space group, orientation; see `Described`."""
        rows = [
            ("cell", f"{numbers(self.cell[:3], 3)} A, {numbers(self.cell[3:], 3)} deg"),
            ("space group", self.space_group.xhm()),
            ("volume", f"{self.volume:.0f} A^3"),
        ]
        if self.cell_sd is not None:
            rows.insert(1, ("standard deviations", f"{numbers(self.cell_sd[:3])} A, {numbers(self.cell_sd[3:])} deg"))
        if self.mosaicity_deg is not None:
            rows.append(("mosaicity", f"{self.mosaicity_deg:.4g} deg"))
        if self.A_at_scan_points is not None:
            rows.append(("with the scan", f"varies, {len(self.A_at_scan_points)} points"))
        return "Crystal", rows

    @classmethod
    def from_cell(cls, cell: Any, U: Any = None, space_group: SpaceGroupLike = "P 1", **fields: Any) -> Crystal:
        """Crystal from a cell (angstrom, degrees), an orientation matrix and a space group, its symbol or number."""
        B = np.linalg.inv(orthogonalisation_matrix(cell)).T
        U = np.eye(3) if U is None else np.asarray(U, dtype=np.float64)
        return cls(A=U @ B, hall=hall_symbol(space_group), **fields)

    @property
    def real_space(self) -> np.ndarray:
        """(3, 3) float64, angstrom: rows a, b, c."""
        return np.linalg.inv(self.A)

    @property
    def cell(self) -> np.ndarray:
        """(6,) float64: a, b, c in angstrom, alpha, beta, gamma in degrees."""
        return cell_from_real_space(self.real_space)

    @property
    def cells_at_scan_points(self) -> np.ndarray | None:
        """(n_images + 1, 6) float64 or None."""
        if self.A_at_scan_points is None:
            return None
        return cell_from_real_space(np.linalg.inv(self.A_at_scan_points))

    @property
    def volume(self) -> float:
        """Cell volume in cubic angstrom."""
        return float(abs(1.0 / np.linalg.det(self.A)))

    @property
    def B(self) -> np.ndarray:
        """(3, 3) float64, 1/angstrom: inverse transpose of the orthogonalisation matrix, lower triangular."""
        return np.linalg.inv(orthogonalisation_matrix(self.cell)).T

    @property
    def U(self) -> np.ndarray:
        """(3, 3) float64: the orientation."""
        return np.asarray(self.A @ np.linalg.inv(self.B))

    @property
    def space_group(self) -> gemmi.SpaceGroup:
        """The space group."""
        return space_group_from_symbol(self.hall)

    def with_A(self, A: np.ndarray, A_at_scan_points: np.ndarray | None = None) -> Crystal:
        """The crystal with another A; scan points are dropped unless given, and so are values derived from the old A."""
        kept = {k: v for k, v in self.extra.items() if not k.startswith(("recalculated", "B_covariance"))}
        return replace(self, A=A, A_at_scan_points=A_at_scan_points, cell_sd=None, extra=kept)

    @property
    def space_group_is_known(self) -> bool:
        """Whether the user gave the space group, so that no program may choose another."""
        return bool(self.extra.get(KNOWN, False))

    def with_space_group(self, group: SpaceGroupLike, known: bool | None = None) -> Crystal:
        """The crystal with another space group; the cell is not changed.

        Parameters
        ----------
        group
            Space group, its symbol or its number.
        known
            Whether it is what the user gave rather than what a program found; None: as before while the group stays
            the same.
        """
        hall = hall_symbol(group)
        if known is None:
            known = self.space_group_is_known and hall == self.hall
        extra = {k: v for k, v in self.extra.items() if k != KNOWN}
        return replace(self, hall=hall, extra=extra | {KNOWN: True} if known else extra)
