"""Arrays of Miller indices under a space group: asymmetric unit, absences, multiplicities."""

from __future__ import annotations

import gemmi
import numpy as np
import numpy.typing as npt

from spindle.errors import ModelError, ShapeError

from .space_groups import SpaceGroupLike, centring_vectors, group_operations, rotations, space_group

#: gemmi's text of each region of the reciprocal asymmetric unit, in the order of `kernels.in_reciprocal_asu`.
_REGIONS = (
    "l>0 or (l=0 and (h>0 or (h=0 and k>=0)))",
    "k>=0 and (l>0 or (l=0 and h>=0))",
    "h>=0 and k>=0 and l>=0",
    "l>=0 and ((h>=0 and k>0) or (h=0 and k=0))",
    "h>=k and k>=0 and l>=0",
    "(h>=0 and k>0) or (h=0 and k=0 and l>=0)",
    "h>=k and k>=0 and (k>0 or l>=0)",
    "h>=k and k>=0 and (h>k or l>=0)",
    "h>=0 and ((l>=h and k>h) or (l=h and k=h))",
    "k>=l and l>=h and h>=0",
)


#: Crystals of viruses have some ten million; it takes half a minute to make so many.
MOST_INDICES = 500_000_000


def _as_indices(hkl: npt.ArrayLike) -> np.ndarray:
    indices = np.ascontiguousarray(hkl, dtype=np.int32)
    if indices.ndim != 2 or indices.shape[1] != 3:
        raise ShapeError(f"Miller indices: expected an array (n, 3), got {indices.shape}")
    if not indices.flags.writeable:  # a read-only array would compile a second version of every kernel
        indices = indices.copy()
    return indices


def asu_indices(hkl: npt.ArrayLike, group: SpaceGroupLike) -> tuple[np.ndarray, np.ndarray]:
    """Map Miller indices into CCP4's asymmetric unit of reciprocal space.

    Parameters
    ----------
    hkl : (n, 3) int
    group
        Space group (any setting that gemmi tabulates).

    Returns
    -------
    hkl_asu : (n, 3) int32
        The equivalent index inside the asymmetric unit; Friedel mates share it.
    isym : (n,) int32
        1-based number of the operation, as in the MTZ column M/ISYM: odd 2m + 1 for symmetry operator m, even
        2m + 2 for its Friedel mate. ``isym % 2 == 1`` therefore tells I(+) from I(-).

    Notes
    -----
    Same result as ``gemmi.ReciprocalAsu.to_asu``. Roughly 10 ns per index.
    """
    from .kernels import empty_mapping, map_to_asu

    group = space_group(group)
    indices = _as_indices(hkl)
    turn = rotations(group)
    code = _REGIONS.index(gemmi.ReciprocalAsu(gemmi.get_spacegroup_reference_setting(group.number)).condition_str())
    to_reference = np.array(group.basisop.rot, dtype=np.int32)
    scale = np.gcd.reduce(np.abs(to_reference).ravel())  # only signs and comparisons matter, so any positive scale does
    test = np.ascontiguousarray(turn @ (to_reference // scale), dtype=np.int32)
    hkl_asu, isym = empty_mapping(len(indices))
    map_to_asu(indices, turn, test, code, hkl_asu, isym)
    if len(isym) and isym.min() == 0:
        worst = indices[int(np.argmin(isym))]
        raise ModelError(f"asymmetric unit: no operator of {group.xhm()} maps index {tuple(worst)} into it")
    return hkl_asu, isym


def original_indices(hkl_asu: npt.ArrayLike, isym: npt.ArrayLike, group: SpaceGroupLike) -> np.ndarray:
    """Undo `asu_indices`: the measured index of each (index in the asymmetric unit, isym), (n, 3) int32."""
    indices = _as_indices(hkl_asu)
    number = np.asarray(isym, dtype=np.int64) - 1
    inverse = np.rint(np.linalg.inv(rotations(group).astype(float))).astype(np.int64)
    sign = np.where(number % 2 == 0, 1, -1)
    back = np.einsum("ni,nij->nj", indices.astype(np.int64), inverse[number // 2]) * sign[:, None]
    return np.asarray(back, dtype=np.int32)


def epsilon_factors(hkl: npt.ArrayLike, group: SpaceGroupLike, with_centring: bool = False) -> np.ndarray:
    """How many operators leave each index unchanged, the factor of its mean intensity.

    Parameters
    ----------
    hkl : (n, 3) int
    group
        Space group.
    with_centring
        Multiply by the number of lattice points per cell, as CCP4's ``epsilon`` does.

    Returns
    -------
    (n,) float64
    """
    ops = group_operations(group)
    indices = _as_indices(hkl)
    values = ops.epsilon_factor_array(indices) if with_centring else ops.epsilon_factor_without_centering_array(indices)
    return np.asarray(values, dtype=np.float64)


def is_centric(hkl: npt.ArrayLike, group: SpaceGroupLike) -> np.ndarray:
    """Whether some operator maps each index onto its Friedel mate, (n,) bool."""
    return np.asarray(group_operations(group).centric_flag_array(_as_indices(hkl)), dtype=bool)


def is_systematically_absent(hkl: npt.ArrayLike, group: SpaceGroupLike) -> np.ndarray:
    """Absences of centring, screw axes and glide planes, (n,) bool."""
    return np.asarray(group_operations(group).systematic_absences(_as_indices(hkl)), dtype=bool)


def is_centring_absent(hkl: npt.ArrayLike, group: SpaceGroupLike) -> np.ndarray:
    """Absences of the lattice centring alone, (n,) bool: those a prediction leaves out."""
    indices = _as_indices(hkl)
    absent = np.zeros(len(indices), dtype=bool)
    for vector in centring_vectors(group)[1:]:
        # whole numbers of 1/12: exact
        shift = np.rint(12 * vector).astype(np.int32)
        absent |= (indices @ shift) % 12 != 0
    return absent


def unique_indices(
    cell: npt.ArrayLike, group: SpaceGroupLike, d_min: float, d_max: float = np.inf, absences: bool = False
) -> np.ndarray:
    """All indices of the asymmetric unit between two resolutions.

    Parameters
    ----------
    cell : (6,) float, angstrom and degrees
    group
        Space group.
    d_min, d_max
        Resolution limits in angstrom (inclusive).
    absences
        Keep systematic absences.

    Returns
    -------
    (n, 3) int32

    Raises
    ------
    ModelError
        If half the sphere of that resolution holds more than `MOST_INDICES`.
    """
    group = space_group(group)
    unit_cell = gemmi.UnitCell(*np.asarray(cell, dtype=float))
    half = np.divide(2.0 / 3.0 * np.pi * unit_cell.volume, float(d_min) ** 3) if d_min > 0 else np.inf
    if not half < MOST_INDICES:
        raise ModelError(
            f"unique reflections: a cell of {unit_cell.volume:.4g} A^3 has {half:.3g} indices to {d_min:.4g} A, at most {MOST_INDICES:g} expected; "
            "limit the resolution (d_min=), or give indices that belong to this cell"
        )
    hkl = np.asarray(gemmi.make_miller_array(unit_cell, group, d_min, 0.0 if np.isinf(d_max) else d_max, True))
    hkl = hkl.astype(np.int32).reshape(-1, 3)
    if not absences:
        return hkl
    full = np.asarray(gemmi.make_miller_array(unit_cell, gemmi.SpaceGroup("P 1"), d_min, 0.0, False)).astype(np.int32)
    if np.isfinite(d_max):
        full = full[1.0 / np.sqrt(_inverse_d_squared(unit_cell, full)) <= d_max]
    mapped, _ = asu_indices(full, group)
    return np.unique(mapped, axis=0)


def _inverse_d_squared(cell: gemmi.UnitCell, hkl: np.ndarray) -> np.ndarray:
    return np.asarray(cell.calculate_1_d2_array(hkl), dtype=float)
