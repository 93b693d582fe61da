"""Test sets of files: which column holds one, and which reflections are in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gemmi
import numpy as np

from spindle.errors import FileFormatError, ModelError, ParameterError
from spindle.files import refuse_holes
from spindle_lib_merging import FreeFlags, mtz_indices, read_mtz, whole_indices

__all__ = ["read_flags"]

#: Names of flags, without case, signs of Friedel mates and what stands between letters, those of the usual programs first.
NAMES = (
    "freerflag",
    "free",
    "rfreeflags",
    "rfree",
    "freer",
    "pdbxrfreeflag",
    "status",
    "rfreeflag",
    "freeflag",
    "freerflags",
    "test",
)
#: Suffixes of mmCIF files.
CIF = (".cif", ".mmcif", ".ent")
#: A test set has no larger part of the reflections.
LARGEST_PART = 0.5
#: Fewer flags than this do not tell.
TELLING = 20


@dataclass(frozen=True, slots=True)
class FlagColumns:
    """Columns of a file that may hold flags.

    Attributes
    ----------
    hkl : (n, 3) int
    group : gemmi.SpaceGroup or None
    columns : dict
        By label (n,) float64, NaN where there is none; those of known names in the order of `NAMES`.
    labels : list of str
        Of everything in the file.
    """

    hkl: np.ndarray
    group: gemmi.SpaceGroup | None
    columns: dict[str, np.ndarray]
    labels: list[str]


def read_flags(path: Path, group: Any, test_value: int | None, label: str | None = None) -> FreeFlags:
    """Flags of an MTZ or mmCIF file, with the test set at 0.

    Parameters
    ----------
    path : Path
    group : gemmi.SpaceGroup
        Of the data.
    test_value : int, optional
        Flag of the test set in the file.
    label : str, optional
        The column to take, if several differ.

    Raises
    ------
    FileFormatError
        If it cannot be read or has no test set.
    ParameterError
        If several columns hold different test sets, or none has the label or the value.
    ModelError
        If its Laue group is another one.
    """
    refuse_holes(path, "r_free_flags.reference= is an MTZ or mmCIF file")
    is_cif = path.suffix.lower() in CIF
    try:
        found = _of_cif(path) if is_cif else _of_mtz(path)
    except (RuntimeError, ValueError, OSError) as error:
        raise FileFormatError(f"{path}: {error}; r_free_flags.reference= is an MTZ or mmCIF file") from error
    if found.group is None or found.group.laue_str() != group.laue_str():
        name = found.group.hm if found.group is not None else "unknown"
        raise ModelError(
            f"{path}: the flags are for space group {name}, the data for {group.hm}, of another Laue group"
        )
    values = found.columns[choose(path, found, test_value, label)]
    known = np.isfinite(values)
    whole = values[known].astype(np.int64)
    if test_value is None:
        test_value = usual_test_value(whole)
    if not np.any(whole == test_value):
        raise ParameterError(f"r_free_flags.old_test_flag_value={test_value}: no reflection of {path} has this flag")
    count = max(2, round(len(whole) / max(int(np.count_nonzero(whole == test_value)), 1)))
    two = len(np.unique(whole)) == 2
    moved = (
        np.where(whole == test_value, 0, np.where(whole == 0, test_value, whole))
        if not two
        else np.where(whole == test_value, 0, 1)
    )
    return FreeFlags(found.hkl[known], moved.astype(np.int64), 2 if two and count < 3 else count)


def choose(path: Path, found: FlagColumns, test_value: int | None, label: str | None) -> str:
    """The label of the column that holds the test set; where several hold the same, of that with most flags."""
    if label is not None and label not in found.columns:
        raise ParameterError(
            f"r_free_flags.column={label}: {path} has no such column of whole numbers, only {' '.join(found.labels)}"
        )
    named = {k: v for k, v in found.columns.items() if (_plain(k) in NAMES if label is None else k == label)}
    if not named:
        raise FileFormatError(
            f"{path}: no column of flags (FreeR_flag, FREE, R-free-flags or the like), only {' '.join(found.labels)}; "
            "name it with r_free_flags.column="
        )
    sets = {k: test for k, v in named.items() if (test := test_set(v, test_value)) is not None}
    if not sets:
        if test_value is not None:
            raise ParameterError(
                f"r_free_flags.old_test_flag_value={test_value}: no reflection of {path} has this flag"
            )
        raise FileFormatError(
            f"{path}: {' and '.join(named)} set{'s' if len(named) == 1 else ''} no part of the reflections aside; "
            "leave r_free_flags.reference= out to draw a test set"
        )
    labels = sorted(sets, key=lambda k: -int(np.isfinite(named[k]).sum()))
    first = labels[0]
    for other in labels[1:]:
        both = np.isfinite(named[first]) & np.isfinite(named[other])
        if differ := int(np.count_nonzero((sets[first] != sets[other])[both])):
            one, two = sorted((first, other), key=list(sets).index)
            raise ParameterError(
                f"{path}: {one} and {two} hold different test sets ({differ} reflections are in one of them alone); "
                f"say which with r_free_flags.column={one} or r_free_flags.column={two}"
            )
    return first


def test_set(values: np.ndarray, test_value: int | None) -> np.ndarray | None:
    """(n,) bool: what flags, NaN where there is none, set aside; None if that is nothing, or no small part of enough to tell."""
    known = np.isfinite(values)
    if not known.any():
        return None
    value = usual_test_value(values[known].astype(np.int64)) if test_value is None else test_value
    chosen = np.asarray(values == value)
    n, most = int(chosen.sum()), int(known.sum())
    return chosen if n > 0 and (n <= LARGEST_PART * most or most < TELLING) else None


def usual_test_value(flags: np.ndarray) -> int:
    """Flags of CCP4 run from 0, the test set; of two values the rarer one marks it."""
    found, counts = np.unique(flags, return_counts=True)
    return int(found[np.argmin(counts)]) if len(found) == 2 else int(found.min())


def _plain(label: str) -> str:
    return re.sub(r"\(\W*\)|[^a-z0-9]", "", label.lower())


def _in_order(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Columns of whole numbers, those of known names first."""
    whole = {k: v for k, v in columns.items() if np.all(np.isnan(v) | (v == np.rint(v)))}
    place = {name: i for i, name in enumerate(NAMES)}
    return dict(sorted(whole.items(), key=lambda item: place.get(_plain(item[0]), len(NAMES))))


def _of_mtz(path: Path) -> FlagColumns:
    mtz = read_mtz(path)
    columns = {c.label: np.array(c, dtype=np.float64) for c in mtz.columns if c.type == "I" or _plain(c.label) in NAMES}
    return FlagColumns(mtz_indices(mtz, str(path)), mtz.spacegroup, _in_order(columns), mtz.column_labels())


def _of_cif(path: Path) -> FlagColumns:
    block = next((b for b in gemmi.as_refln_blocks(gemmi.cif.read(str(path))) if b), None)
    if block is None:
        raise ValueError("there are no reflections in it")
    labels = block.column_labels()
    columns = {k: block.make_float_array(k) for k in labels if _plain(k) in NAMES and k != "status"}
    if "status" in labels:
        words = [gemmi.cif.as_string(v) for v in block.block.find_values("_refln.status")]
        columns["status"] = np.array([{"o": 1.0, "f": 0.0}.get(w, np.nan) for w in words])
    hkl = whole_indices(np.asarray(block.make_miller_array(), dtype=np.float64), str(path))
    return FlagColumns(hkl, block.spacegroup, _in_order(columns), labels)
