"""Space groups, their Laue and Patterson groups and Bravais types, over gemmi."""

from __future__ import annotations

import re
from functools import lru_cache

import gemmi
import numpy as np

from spindle.errors import ModelError, ParameterError

#: Highest symmetric chiral symmorphic space group (number) of each Bravais type, lowest symmetry first.
BRAVAIS_HIGHEST = {
    "aP": 1, "mP": 3, "mC": 5, "oP": 16, "oC": 21, "oF": 22, "oI": 23,
    "tP": 89, "tI": 97, "hR": 155, "hP": 177, "cP": 207, "cF": 209, "cI": 211,
}  # fmt: skip
#: Lowest chiral symmorphic space group of each Bravais type: what an unknown crystal of that lattice is given.
BRAVAIS_LOWEST = {
    "aP": "P 1", "mP": "P 1 2 1", "mC": "C 1 2 1", "mI": "I 1 2 1", "oP": "P 2 2 2", "oC": "C 2 2 2", "oF": "F 2 2 2",
    "oI": "I 2 2 2", "tP": "P 4", "tI": "I 4", "hR": "R 3", "hP": "P 3", "cP": "P 2 3", "cF": "F 2 3", "cI": "I 2 3",
}  # fmt: skip
_SYSTEM_LETTER = {
    "triclinic": "a", "monoclinic": "m", "orthorhombic": "o", "tetragonal": "t",
    "trigonal": "h", "hexagonal": "h", "cubic": "c",
}  # fmt: skip

SpaceGroupLike = gemmi.SpaceGroup | gemmi.GroupOps | str | int


def space_group(symbol: SpaceGroupLike) -> gemmi.SpaceGroup:
    """The space group of a number, Hermann-Mauguin symbol (``P43212``, ``C 1 2 1``), Hall symbol or operators.

    A text with a leading blank is a Hall symbol first, any other a Hermann-Mauguin symbol first: some texts are both,
    and mean different groups; ``Hall:`` before it says that it is a Hall symbol. Both may be followed by a change of basis, as
    cctbx writes settings: ``P 2yb (z,x,y)``, ``P 4 (a+b,-a+b,c)``.

    Raises
    ------
    ParameterError
        If the symbol is unknown, or it or the operators are those of a setting that has no name.
    """
    if isinstance(symbol, gemmi.SpaceGroup):
        return symbol
    if isinstance(symbol, gemmi.GroupOps):
        found = gemmi.find_spacegroup_by_ops(symbol)
        if found is None:
            raise ParameterError("space group: the operators are those of a setting without a standard symbol")
        return found
    if isinstance(symbol, (int, np.integer)) or str(symbol).strip().isdigit():
        number = int(symbol)
        if not 1 <= number <= 230:
            raise ParameterError(f"space group: numbers run from 1 to 230, not to {number}")
        return gemmi.get_spacegroup_reference_setting(number)
    text = str(symbol)
    known = _read(text)
    if known is None:
        raise ParameterError(
            f"space group: {symbol!r} is no known symbol of a space group; give a number, a Hermann-Mauguin symbol such as P212121 or "
            "'C 1 2 1', or a Hall symbol"
        )
    if isinstance(known, gemmi.SpaceGroup):
        return known
    raise ParameterError(f"space group: {symbol!r} is {_without_name(known)}")


def origin_elsewhere(symbol: str) -> gemmi.SpaceGroup | None:
    """The named setting of which the group of a symbol differs by its origin only; None when there is none.

    Intensities do not tell the origin.
    """
    known = _read(symbol)
    return _named_at_another_origin(known) if isinstance(known, gemmi.GroupOps) else known


_CHANGE = re.compile(r"^(?P<base>.*?)\s*\((?P<change>[^()]*,[^()]*,[^()]*)\)\s*$", re.DOTALL)
_HALL = re.compile(r"^\s*hall\s*:", re.IGNORECASE)


def _read(text: str) -> gemmi.SpaceGroup | gemmi.GroupOps | None:
    """The group of a text as the likeliest of its readings has it: operators where it has no name, None for no group."""
    if mark := _HALL.match(text):
        return _by_hall_symbol(text[mark.end() :])
    hermann = (gemmi.find_spacegroup_by_name, _by_changed_symbol)
    readings = (_by_hall_symbol, *hermann) if text.startswith(" ") else (*hermann, _by_hall_symbol)
    for read in readings:
        known: gemmi.SpaceGroup | gemmi.GroupOps | None = read(text.strip())
        if known is not None:
            return known
    return None


def _by_hall_symbol(symbol: str) -> gemmi.SpaceGroup | gemmi.GroupOps | None:
    change = _CHANGE.match(symbol)
    if change is not None and not set("xyz") & set(change["change"].lower()):
        return None  # new basis vectors, which go with Hermann-Mauguin symbols
    try:
        return _named(gemmi.symops_from_hall(symbol.strip()))
    except (RuntimeError, ValueError):
        return None


def _by_changed_symbol(text: str) -> gemmi.SpaceGroup | gemmi.GroupOps | None:
    """The group of a Hermann-Mauguin symbol and a change of basis, in new basis vectors or coordinates (cctbx writes both)."""
    from .change_of_basis import ChangeOfBasis  # which takes groups of this module

    found = _CHANGE.match(text)
    base = None if found is None else gemmi.find_spacegroup_by_name(found["base"].strip())
    if found is None or base is None:
        return None
    try:
        change = ChangeOfBasis.from_string(found["change"])
        if {c for c in found["change"].lower() if c.isalpha()} <= set("abc"):
            # The constants are the place of the old origin's negative in the old basis.
            back = gemmi.Op(found["change"].lower().translate(str.maketrans("abc", "xyz")))
            change = ChangeOfBasis(change.matrix, -change.xyz_rotation @ np.array(back.tran, float) / gemmi.Op.DEN)
        return _named(change.apply_to_group(base))
    except (ModelError, ParameterError, RuntimeError, ValueError, np.linalg.LinAlgError):
        return None


def _named(operators: gemmi.GroupOps) -> gemmi.SpaceGroup | gemmi.GroupOps:
    return gemmi.find_spacegroup_by_ops(operators) or operators


def _without_name(operators: gemmi.GroupOps) -> str:
    """What to do about a setting that no table has."""
    named = _named_at_another_origin(operators)
    if named is not None:
        return f"{named.xhm()} with its origin elsewhere, which intensities do not tell; give '{named.xhm()}'"
    return (
        "a setting that has no name in the tables; give a setting of the same group that has one, and the cell that goes with it "
        "(spindle reindex change_of_basis= makes it of data in another cell)"
    )


def _named_at_another_origin(operators: gemmi.GroupOps) -> gemmi.SpaceGroup | None:
    wanted = _by_rotation(operators)
    for group in gemmi.spacegroup_table():
        if group.centring_type() == operators.find_centering():
            own = _by_rotation(group.operations())
            if own.keys() == wanted.keys() and _shifts(own, wanted, centring_vectors(group)):
                return group
    return None


def _by_rotation(operators: gemmi.GroupOps) -> dict[tuple[int, ...], np.ndarray]:
    """Translations (3,) in 1/24 by rotation, without those of centring."""
    return {tuple(np.array(op.rot).ravel() // gemmi.Op.DEN): np.array(op.tran) for op in operators.sym_ops}


def _shifts(
    one: dict[tuple[int, ...], np.ndarray], two: dict[tuple[int, ...], np.ndarray], centring: np.ndarray
) -> bool:
    """Whether some shift of the origin, in 1/24 of the axes, makes the translations of one group those of the other."""
    den = gemmi.Op.DEN
    shifts = np.array(np.meshgrid(*[np.arange(den)] * 3)).reshape(3, -1)
    lattice = np.rint(centring * den).astype(int)
    for rotation, translation in one.items():
        R = np.array(rotation).reshape(3, 3)
        left = (translation - two[rotation])[:, None] + shifts - R @ shifts
        met = np.any([np.all((left - point[:, None]) % den == 0, axis=0) for point in lattice], axis=0)
        shifts = shifts[:, met]
        if not shifts.size:
            return False
    return True


def group_operations(group: SpaceGroupLike) -> gemmi.GroupOps:
    """Symmetry operators of a space group; operators pass through, so that unnamed settings work too."""
    if isinstance(group, gemmi.GroupOps):
        return group
    return space_group(group).operations()


def rotations(group: SpaceGroupLike) -> np.ndarray:
    """Rotation parts of the operators without centring, in gemmi's order (identity first).

    Returns
    -------
    (m, 3, 3) int32
        Coordinates transform as R x, Miller indices as the row vector h R.
    """
    ops = group_operations(group).sym_ops
    return np.array([op.rot for op in ops], dtype=np.int32) // gemmi.Op.DEN


def translations(group: SpaceGroupLike) -> np.ndarray:
    """Translations of the operators of `rotations`, fractions of the cell, (m, 3) float64."""
    return np.array([op.tran for op in group_operations(group).sym_ops], dtype=float) / gemmi.Op.DEN


def centring_vectors(group: SpaceGroupLike) -> np.ndarray:
    """Lattice points of the cell, fractions, the origin first: (1..4, 3) float64."""
    return np.array(group_operations(group).cen_ops, dtype=float) / gemmi.Op.DEN


def laue_group_ops(group: SpaceGroupLike, proper: bool = False) -> np.ndarray:
    """Operators of the Laue group: the point group of the space group and its inversion.

    Parameters
    ----------
    group
        Space group in its own setting.
    proper
        Leave the improper ones out: the pure rotations of the Laue group.

    Returns
    -------
    (m, 3, 3) int32
        Identity first, rotations before their negatives. Miller indices transform as the row vector h R.
    """
    found: dict[tuple[int, ...], np.ndarray] = {}
    for r in rotations(group):
        r = r if round(np.linalg.det(r)) > 0 else -r
        found.setdefault(tuple(r.ravel().tolist()), r)
    turned = np.array(list(found.values()), dtype=np.int32)
    return turned if proper else np.concatenate([turned, -turned])


def patterson_group(group: SpaceGroupLike) -> gemmi.SpaceGroup:
    """The group without screw and glide translations and with an inversion: P 43 21 2 gives P 4/m m m.

    Its absences are those of the lattice centring only.
    """
    named = group if isinstance(group, gemmi.GroupOps) else space_group(group)
    return space_group(patterson_operations(named))


def patterson_operations(group: SpaceGroupLike) -> gemmi.GroupOps:
    """Operators of the Patterson group, also for settings that have no name."""
    source = group_operations(group)
    ops = gemmi.GroupOps([gemmi.Op(op.triplet()) for op in source.derive_symmorphic()])
    ops.add_inversion()
    return ops


def laue_class(group: SpaceGroupLike) -> str:
    """Symbol of the Laue class, such as ``4/mmm`` or ``-31m``."""
    return space_group(group).laue_str()


def crystal_system(group: SpaceGroupLike) -> str:
    """Triclinic, monoclinic, orthorhombic, tetragonal, trigonal, hexagonal or cubic."""
    return space_group(group).crystal_system_str()


def bravais_type(group: SpaceGroupLike) -> str:
    """Pearson symbol of the lattice: aP, mP, mC, oP, oC, oF, oI, tP, tI, hR, hP, cP, cF or cI.

    A, B, C and monoclinic I count as C centred; R in either setting is hR.
    """
    reference = gemmi.get_spacegroup_reference_setting(space_group(group).number)
    letter = reference.centring_type()
    system = _SYSTEM_LETTER[reference.crystal_system_str()]
    if letter in "AB":
        letter = "C"
    return system + letter


def chiral_symmorphic_group(group: SpaceGroupLike) -> gemmi.SpaceGroup:
    """The pure rotations of the Laue group with the lattice centring: what a lattice alone can tell."""
    ops = gemmi.GroupOps([gemmi.Op(_triplet(r)) for r in laue_group_ops(group, proper=True)])
    ops.add_missing_elements()
    return space_group(_with_centring(ops, group))


def _with_centring(ops: gemmi.GroupOps, group: SpaceGroupLike) -> gemmi.GroupOps:
    centred = gemmi.GroupOps([op.translated(list(c)) for c in group_operations(group).cen_ops for op in ops.sym_ops])
    return centred


def _triplet(rotation: np.ndarray) -> str:
    return ",".join(
        "".join(f"{'+' if c > 0 else '-'}{'xyz'[j]}" for j, c in enumerate(row) if c).lstrip("+") for row in rotation
    )


@lru_cache(maxsize=64)
def sohncke_groups(laue: str) -> tuple[str, ...]:
    """Extended Hermann-Mauguin symbols of the reference settings of all Sohncke groups of a Laue class."""
    names = []
    for number in range(1, 231):
        candidate = gemmi.get_spacegroup_reference_setting(number)
        if candidate.is_sohncke() and candidate.laue_str() == laue:
            names.append(candidate.xhm())
    return tuple(names)
