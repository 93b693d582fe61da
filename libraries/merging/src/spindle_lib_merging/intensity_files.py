"""Intensities of files that other programs wrote: MTZ, and structure-factor mmCIF."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np

from spindle.errors import UserError
from spindle.files import refuse_holes

from .unmerged import mtz_indices, read_mtz, to_measured_indices

__all__ = ["FileIntensities", "read_intensities"]

#: Suffixes of mmCIF files.
_CIF = (".cif", ".mmcif", ".ent")


@dataclass(frozen=True, slots=True)
class FileIntensities:
    """Merged or unmerged intensities.

    Attributes
    ----------
    hkl : (n, 3) int32
        As measured where the file tells it.
    value, sigma : (n,) float64
        Where the file has amplitudes only: their squares.
    cell : (6,) float64
        angstrom, degrees
    group : gemmi.SpaceGroup or None
    column : str
        Where they come from.
    """

    hkl: np.ndarray
    value: np.ndarray
    sigma: np.ndarray
    cell: np.ndarray
    group: gemmi.SpaceGroup | None
    column: str


def read_intensities(path: Path, parameter: str) -> FileIntensities:
    """Read a file; of several columns of intensities the first, if there is none the first of amplitudes.

    Parameters
    ----------
    path : Path
    parameter : str
        That named the file, for messages.

    Raises
    ------
    UserError
        If it cannot be read, or has neither.
    """
    name = f"{parameter}={path}"
    refuse_holes(path, f"give {parameter}= another file")
    try:
        if path.suffix.lower() in _CIF:
            blocks = gemmi.as_refln_blocks(gemmi.cif.read(str(path)))
            block = next((b for b in blocks if b), None)
            if block is None:
                raise UserError(
                    f"{name}: there are no reflections in it; give structure factors, or intensities in an MTZ file"
                )
            mtz = gemmi.CifToMtz().convert_block_to_mtz(block)
        else:
            mtz = read_mtz(path)
    except (OSError, RuntimeError, ValueError) as error:
        what = "an mmCIF file of reflections" if path.suffix.lower() in _CIF else "an MTZ file"
        raise UserError(f"{name}: it cannot be read as {what}: {error}") from error
    kinds = [(k, e) for k, e in (("J", "Q"), ("K", "M"), ("F", "Q"), ("G", "L")) if mtz.columns_with_type(k)]
    if not kinds:
        raise UserError(f"{name}: it has no column of intensities or amplitudes")
    kind, error_kind = kinds[0]
    if mtz.column_with_label("M/ISYM") is not None:
        to_measured_indices(mtz, name)
    column = mtz.columns_with_type(kind)[0]
    value = np.asarray(column.array, dtype=np.float64)
    later = [c for c in mtz.columns_with_type(error_kind) if c.idx > column.idx]
    sigma = np.asarray(later[0].array, dtype=np.float64) if later else np.full(len(value), np.nan)
    if kind in "FG":
        value, sigma = value**2, 2 * np.abs(value) * sigma
    good = np.isfinite(value)
    typical = float(np.median(np.abs(value[good]))) if good.any() else 1.0
    sigma = np.where(np.isfinite(sigma) & (sigma > 0), sigma, 0.05 * np.abs(value) + 0.01 * typical + 1e-30)
    cell = np.array(mtz.cell.parameters, dtype=np.float64)
    return FileIntensities(
        mtz_indices(mtz, name)[good],
        value[good],
        sigma[good],
        cell,
        mtz.spacegroup,
        column.label,
    )
