"""Unmerged intensities from tables of reflections or from an MTZ file, for programs that take either."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import gemmi
import numpy as np

from spindle.contracts import ProgramInputs
from spindle.errors import FileFormatError, ParameterError, UserError
from spindle.files import refuse_holes

from .intensities import prepare_intensities

__all__ = ["Unmerged", "mtz_indices", "open_mtz", "read_mtz", "read_unmerged", "to_measured_indices", "whole_indices"]

#: Half of what `pack_indices` holds.
LARGEST_INDEX = 500_000


@dataclass(frozen=True, slots=True)
class Unmerged:
    """Observations of one crystal form.

    Attributes
    ----------
    hkl : (n, 3) int32
    intensity, variance : (n,) float64
    batch : (n,) int64 or None
    cell : (6,) float64
    group : gemmi.SpaceGroup
    source : str
    sweep : (n,) int64 or None
        Which experiment each is of; None for an MTZ file.
    z : (n,) float64 or None
        Array index, 0 at the beginning of image 1; None where that is not known.
    dose : (n,) float64 or None
        Column DOSE of an MTZ file.
    """

    hkl: np.ndarray
    intensity: np.ndarray
    variance: np.ndarray
    batch: np.ndarray | None
    cell: np.ndarray
    group: gemmi.SpaceGroup
    source: str
    sweep: np.ndarray | None = None
    z: np.ndarray | None = None
    dose: np.ndarray | None = None

    def select(self, rows: np.ndarray) -> Unmerged:
        """Some of them."""
        batch, sweep, z, dose = (None if v is None else v[rows] for v in (self.batch, self.sweep, self.z, self.dose))
        return Unmerged(
            self.hkl[rows], self.intensity[rows], self.variance[rows], batch, self.cell, self.group, self.source, sweep, z, dose
        )  # fmt: skip


def read_unmerged(
    inputs: ProgramInputs, program: str, log: Any, labels: Sequence[str] | None = None, name: str = "labels"
) -> Unmerged:
    """The observations that the arguments of a program name.

    Parameters
    ----------
    inputs : ProgramInputs
    program : str
        For messages.
    log
    labels : sequence of str, optional
        Columns of the MTZ file: intensity, or intensity and sigma.
    name : str
        Parameter that they come from.

    Raises
    ------
    UserError
        If there are none, or several kinds of them, or of several space groups.
    """
    usage = f"spindle {program} scaled.expt scaled.refl, or one unmerged MTZ file"
    if inputs.files:
        if inputs.experiments is not None or inputs.reflections or len(inputs.files) > 1:
            raise UserError(f"{program}: give either tables or one MTZ file: {usage}")
        return _read_mtz(inputs.files[0], labels, name)
    if inputs.experiments is None or len(inputs.reflections) != 1:
        raise UserError(f"{program}: give one experiment file and one reflection file: {usage}")
    if labels:
        raise ParameterError(f"{name} names columns of an MTZ file, and the input is none; leave it away")
    experiments, table = inputs.experiments, inputs.reflections[0]
    crystals = [e.known_crystal for e in experiments]
    groups = sorted({c.space_group.xhm() for c in crystals})
    if len(groups) > 1:
        raise UserError(
            f"{program}: the crystals are in different space groups, {', '.join(groups)}; give those of one, or bring all to one "
            "with spindle cosym"
        )
    data = prepare_intensities(table)
    log.info("%d observations with %s intensities", len(data), data.kind)
    if data.kind != "scale":
        log.warning(
            "The reflections are not scaled: what is found says little about merged data. Run spindle scale first"
        )
    rows, kind = data.table, data.best
    number = rows["id"].astype(np.int64)
    offset = np.array([e.scan.batch_offset if e.scan is not None else 0 for e in experiments])
    column = next((c for c in ("xyzobs.px.value", "xyzcal.px") if c in rows), None)
    z = None if column is None else np.asarray(rows[column][:, 2], dtype=np.float64)
    batch = np.floor(rows["xyzcal.px"][:, 2]).astype(np.int64) + 1 + offset[number] if "xyzcal.px" in rows else None
    cell = np.median([c.cell for c in crystals], axis=0)
    return Unmerged(
        rows["miller_index"], data.values[kind], data.variances[kind], batch, cell, crystals[0].space_group, "the table",
        number, z,
    )  # fmt: skip


def _read_mtz(path: Path, labels: Sequence[str] | None, name: str) -> Unmerged:
    mtz = open_mtz(path)
    if mtz.column_with_label("M/ISYM") is None:
        raise FileFormatError(f"{path}: has no column M/ISYM, so it holds merged data; an unmerged MTZ file is needed")
    if mtz.spacegroup is None:
        raise FileFormatError(f"{path}: names no space group that gemmi knows")
    to_measured_indices(mtz, str(path))
    columns = list(mtz.columns)
    candidates = [
        (c, columns[i + 1]) for i, c in enumerate(columns[:-1]) if c.type == "J" and columns[i + 1].type == "Q"
    ]
    names = "; ".join(f"{a.label},{b.label}" for a, b in candidates) or "none"
    if labels:
        wanted = [str(v).strip() for v in labels]
        candidates = [(a, b) for a, b in candidates if [a.label, b.label][: len(wanted)] == wanted]
        if not candidates:
            raise ParameterError(f"{name}={','.join(wanted)}: no intensities of {path}; it has {names}")
    if len(candidates) != 1:
        raise UserError(
            f"{path}: {'several' if candidates else 'no'} columns of intensities and sigmas ({names})"
            + (f"; choose with {name}=" if candidates else "")
        )
    with np.errstate(invalid="ignore"):  # of damaged numbers
        intensity, sigma = (np.array(c, dtype=float) for c in candidates[0])
    known = np.isfinite(intensity) & (sigma > 0)
    if not known.any():
        raise UserError(f"{path}: has no observation with a positive sigma")
    batch, dose = mtz.column_with_label("BATCH"), mtz.column_with_label("DOSE")
    return Unmerged(
        mtz_indices(mtz, str(path))[known], intensity[known], sigma[known] ** 2,
        None if batch is None else _whole(batch)[known], np.array(mtz.cell.parameters), mtz.spacegroup,
        path.name, dose=None if dose is None else np.array(dose, dtype=np.float64)[known],
    )  # fmt: skip


def _whole(column: gemmi.Mtz.Column) -> np.ndarray:
    """int64 of numbers of batches; -1 for what cannot be one."""
    values = np.nan_to_num(np.array(column, dtype=np.float64), nan=-1.0)
    return np.where(np.abs(values) < 2**31, values, -1.0).astype(np.int64)


def to_measured_indices(mtz: gemmi.Mtz, name: str) -> None:
    """Let an unmerged file have the indices as they were measured.

    Raises
    ------
    FileFormatError
        If M/ISYM names operations that the file does not have, or indices are beyond reach.
    """
    mtz_indices(mtz, name)
    try:
        mtz.switch_to_original_hkl()
    except (IndexError, RuntimeError) as error:
        raise FileFormatError(
            f"{name}: column M/ISYM names symmetry operations that the file does not have; it is damaged, write it again"
        ) from error


def mtz_indices(mtz: gemmi.Mtz, name: str) -> np.ndarray:
    """(n, 3) int32: Miller indices of an MTZ file that errors call by `name`.

    Raises
    ------
    FileFormatError
        If one is no whole number, or beyond what any cell and wavelength reach.
    """
    return whole_indices(
        np.asarray(mtz.array, dtype=np.float64)[:, :3], name
    )  # the first columns of a file are H, K, L


def whole_indices(values: np.ndarray, name: str) -> np.ndarray:
    """(n, 3) int32: Miller indices that a file, which errors call by `name`, has as (n, 3) float64.

    Raises
    ------
    FileFormatError
        If one is no whole number, or beyond what any cell and wavelength reach.
    """
    good = ((np.abs(values) <= LARGEST_INDEX) & (values == np.rint(values))).all(axis=1)
    for row in np.flatnonzero(~good)[:1]:
        found = ", ".join(f"{v:.9g}" for v in values[row])
        raise FileFormatError(
            f"{name}: reflection {row + 1}: whole indices within {LARGEST_INDEX} expected, found {found}; the file is damaged, write it again"
        )
    return values.astype(np.int32)


def read_mtz(path: Path) -> gemmi.Mtz:
    """`gemmi.read_mtz_file` of a file that is as long as it says; otherwise gemmi takes memory for what is not there.

    Raises
    ------
    FileFormatError
        If its header would begin after its end.
    OSError, RuntimeError, ValueError
        As gemmi raises them.
    """
    with open(path, "rb") as file:
        start = file.read(20)
        size = file.seek(0, 2)
    order: Literal["little", "big"] = "big" if start[9:10] and start[9] & 0xF0 == 0x10 else "little"
    words = int.from_bytes(start[4:8], order, signed=True)
    if words == -1:  # of large files
        words = int.from_bytes(start[12:20], order, signed=True)
    if start[:4] == b"MTZ " and not 0 < words <= size // 4:
        raise FileFormatError(
            f"{path}: its header is said to begin at byte {4 * (words - 1)}, the file has {size}; it is cut short or damaged, copy it again"
        )
    return gemmi.read_mtz_file(str(path))


def open_mtz(path: Path) -> gemmi.Mtz:
    """Read an MTZ file.

    Raises
    ------
    FileFormatError
        If it is missing or none.
    """
    if not path.is_file():
        raise FileFormatError(f"{path}: no such file; give an MTZ file")
    refuse_holes(path)
    try:
        return read_mtz(path)
    except (RuntimeError, ValueError) as error:
        raise FileFormatError(f"{path}: not an MTZ file that gemmi reads: {error}") from error
