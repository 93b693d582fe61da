"""Blocks of an mmCIF file: numbers and words of their categories."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np

from spindle.errors import FileFormatError, ModelError
from spindle.images import read_all
from spindle.models import space_group_from_symbol

__all__ = [
    "cell_in",
    "numbers",
    "read_document",
    "space_group_in",
    "wavelengths_of_crystals",
    "wavelengths_of_sweeps",
    "words",
]

CELL = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
UNKNOWN = ("?", ".")


def read_document(path: Path) -> gemmi.cif.Document:
    """Read a file, compressed or not.

    Raises
    ------
    FileFormatError
        If it is no CIF, or cut short.
    """
    content = bytes(read_all(path))
    if not content.endswith(b"\n"):
        raise FileFormatError(f"{path}: its last line has no end; the file is cut short, copy it again")
    try:
        return gemmi.cif.read_string(content.decode("utf-8", errors="replace"))
    except (ValueError, RuntimeError) as error:
        raise FileFormatError(f"{path}: {error}; the file is damaged or not complete") from error


def words(block: gemmi.cif.Block, tag: str) -> list[str]:
    """Values of an item, alone or of a loop; empty where it is not there."""
    return [gemmi.cif.as_string(v) for v in block.find_values(tag)]


def numbers(block: gemmi.cif.Block, tag: str) -> np.ndarray | None:
    """(n,) float64: an item, NaN for what is not known; None where it is not there, or nothing of it is known.

    Raises
    ------
    FileFormatError
        If a value is no number.
    """
    values = list(block.find_values(tag))
    if not values:
        return None
    try:
        found = np.array(values, dtype=np.float64)
    except ValueError:
        found = np.array([np.nan if v in UNKNOWN else gemmi.cif.as_number(v) for v in values])
        wrong = [v for v, x in zip(values, found, strict=True) if not np.isfinite(x) and v not in UNKNOWN]
        if wrong:
            raise FileFormatError(f"{tag}: {wrong[0]!r} is no number; the file is damaged") from None
    return found if np.isfinite(found).any() else None


def whole_numbers(values: np.ndarray, tag: str) -> np.ndarray:
    """int64 of numbers that are whole and fit in 32 bits.

    Raises
    ------
    FileFormatError
        If one is none.
    """
    with np.errstate(invalid="ignore"):
        wrong = ~(np.abs(values) < 2**31) | (values != np.rint(values))
    if wrong.any():
        raise FileFormatError(f"{tag}: a whole number expected, found {values[wrong][0]:g}; the file is damaged")
    return values.astype(np.int64)


def cell_in(block: gemmi.cif.Block, category: str = "_cell.", row: int = 0) -> np.ndarray | None:
    """(6,) float64: the cell of a category, None where it is not complete."""
    prefix = category if category == "_cell." else f"{category}cell_"
    found = [numbers(block, prefix + name) for name in CELL]
    if any(column is None or len(column) <= row or not np.isfinite(column[row]) for column in found):
        return None
    return np.array([column[row] for column in found if column is not None])


def space_group_in(block: gemmi.cif.Block) -> gemmi.SpaceGroup | None:
    """The space group, by its symbol or number."""
    for tag in ("_symmetry.space_group_name_H-M", "_space_group.name_H-M_alt", "_space_group.name_H-M_full"):
        for symbol in words(block, tag):
            if symbol not in ("", *UNKNOWN):
                try:
                    return space_group_from_symbol(symbol)
                except ModelError:
                    continue
    for tag in ("_symmetry.Int_Tables_number", "_space_group.IT_number"):
        found = numbers(block, tag)
        if found is not None and 1 <= found[0] <= 230:
            return gemmi.get_spacegroup_reference_setting(int(found[0]))
    return None


def wavelengths_of_sweeps(block: gemmi.cif.Block) -> dict[str, float]:
    """Wavelength of each diffraction experiment, by its name, as far as one is told."""
    found: dict[str, float] = {}
    named = dict(
        zip(words(block, "_diffrn_radiation_wavelength.id"), _floats(words(block, "_diffrn_radiation_wavelength.wavelength")), strict=False)
    )  # fmt: skip
    for sweep, name in zip(
        words(block, "_diffrn_radiation.diffrn_id"), words(block, "_diffrn_radiation.wavelength_id"), strict=False
    ):
        if named.get(name, 0.0) > 0:
            found[sweep] = named[name]
    for tag in ("_diffrn_source.pdbx_wavelength", "_diffrn_source.pdbx_wavelength_list"):
        for sweep, value in zip(words(block, "_diffrn_source.diffrn_id"), _floats(words(block, tag)), strict=False):
            if value > 0:
                found[sweep] = value
    if not found and len(named) == 1 and next(iter(named.values())) > 0:
        found[""] = next(iter(named.values()))
    return found


def wavelengths_of_crystals(block: gemmi.cif.Block) -> dict[str, float]:
    """Wavelength at which each crystal of unmerged data was measured, by its name."""
    names = words(block, "_pdbx_diffrn_unmerged_cell.crystal_id")
    return dict(zip(names, _floats(words(block, "_pdbx_diffrn_unmerged_cell.wavelength")), strict=False))


def _floats(texts: list[str]) -> list[float]:
    """The first number of each text; 0 where there is none."""
    return [max(float(np.nan_to_num(gemmi.cif.as_number(t.split(",")[0].strip() or "?"))), 0.0) for t in texts]
