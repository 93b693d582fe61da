"""A file of a reference, whatever it holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np

from spindle.errors import UserError
from spindle.files import refuse_holes
from spindle.models import Crystal
from spindle_lib_merging import read_intensities

from .calculated import calculated_intensities, read_structure

__all__ = ["ReferenceIntensities", "read_reference"]

#: Suffixes of coordinates that are never reflections.
_COORDINATES = (".pdb", ".ent", ".pdb1", ".gz", ".res", ".ins")
_CIF = (".cif", ".mmcif")


@dataclass(frozen=True, slots=True)
class ReferenceIntensities:
    """Intensities of a reference.

    Attributes
    ----------
    hkl : (n, 3) int32
    value, sigma : (n,) float64
        The sigma is 0 where intensities are calculated.
    crystal : Crystal
        Of their cell and space group, in any orientation.
    source : str
        What they are, for the user.
    calculated : bool
    """

    hkl: np.ndarray
    value: np.ndarray
    sigma: np.ndarray
    crystal: Crystal
    source: str
    calculated: bool


def read_reference(
    path: Path,
    parameter: str,
    d_min: float,
    *,
    probe: str = "x-ray",
    wavelength: float | None = None,
    k_sol: float = 0.35,
    b_sol: float = 46.0,
    only_model: bool = False,
) -> ReferenceIntensities:
    """Read intensities, or calculate them from the coordinates that the file has instead.

    Parameters
    ----------
    path : Path
        MTZ or mmCIF of reflections, PDB, mmCIF or small-molecule CIF of coordinates.
    parameter : str
        That named the file, for messages.
    d_min : float, angstrom
        Where calculated intensities end.
    probe, wavelength, k_sol, b_sol
        As in `calculated_intensities`.
    only_model : bool
        Look for coordinates also where there are reflections.

    Raises
    ------
    UserError
        If the file has neither, or no cell or space group.
    """
    name = f"{parameter}={path}"
    if not path.is_file():
        raise UserError(f"{name}: there is no such file; give an MTZ or mmCIF file of reflections, or coordinates")
    refuse_holes(path, f"give {parameter}= another file")
    suffix = path.suffix.lower()
    coordinates = only_model or suffix in _COORDINATES or (suffix in _CIF and not _has_reflections(path, name))
    if coordinates:
        structure = read_structure(path, parameter)
        hkl, value = calculated_intensities(structure, d_min, probe, wavelength, k_sol, b_sol)
        crystal = Crystal.from_cell(structure.cell, space_group=structure.group)
        return ReferenceIntensities(hkl, value, np.zeros(len(hkl)), crystal, f"calculated from {path.name}", True)
    read = read_intensities(path, parameter)
    if read.group is None or not read.cell[:3].min() > 1:
        raise UserError(f"{name}: it does not tell the cell and the space group; give a file that does")
    crystal = Crystal.from_cell(read.cell, space_group=read.group)
    return ReferenceIntensities(read.hkl, read.value, read.sigma, crystal, f"{read.column} of {path.name}", False)


def _has_reflections(path: Path, name: str) -> bool:
    try:
        return any(bool(block) for block in gemmi.as_refln_blocks(gemmi.cif.read(str(path))))
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"{name}: it cannot be read as CIF: {error}") from error
