"""Reference intensities from an MTZ file of merged data, or from coordinates."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np

from spindle.errors import FileFormatError
from spindle.symmetry import space_group
from spindle_lib_merging import merge_equivalents, mtz_indices, open_mtz

__all__ = ["read_merged"]


def read_merged(path: Path, cell: np.ndarray, group: gemmi.SpaceGroup) -> tuple[np.ndarray, np.ndarray]:
    """Indices and intensities of a reference: an MTZ file of merged data, or coordinates.

    Returns
    -------
    hkl : (n, 3) int32
        In the asymmetric unit of `group`.
    intensity : (n,) float64
    """
    if path.suffix.lower() in (".pdb", ".cif", ".ent", ".mmcif"):
        return _calculated(path, cell, group)
    mtz = open_mtz(path)
    found = list(mtz.columns_with_type("J")) or list(mtz.columns_with_type("F"))
    if not found:
        raise FileFormatError(f"{path}: has no column of type J (intensity) or F (amplitude)")
    values = np.array(found[0], dtype=float)
    values = values if found[0].type == "J" else values**2
    known = np.isfinite(values)
    hkl = mtz_indices(mtz, f"resolution.reference={path}")[known]
    merged = merge_equivalents(hkl, values[known], np.ones(int(known.sum())), group)
    return merged.hkl, merged.intensity


def _calculated(path: Path, cell: np.ndarray, group: gemmi.SpaceGroup) -> tuple[np.ndarray, np.ndarray]:
    """|F|^2 of coordinates in the cell of the data, without bulk solvent, to 1.5 A or the resolution that its B factors have."""
    try:
        model = gemmi.read_structure(str(path))
    except (RuntimeError, ValueError, OSError) as error:
        raise FileFormatError(f"resolution.reference={path}: gemmi cannot read it: {error}") from error
    if len(model) == 0 or model[0].count_atom_sites() == 0:
        raise FileFormatError(f"resolution.reference={path}: holds no atoms")
    model.cell = gemmi.UnitCell(*cell)
    model.spacegroup_hm = space_group(group).xhm()
    model.setup_cell_images()
    calculator = gemmi.DensityCalculatorX()
    calculator.d_min = 1.0
    calculator.set_refmac_compatible_blur(model[0])
    calculator.set_grid_cell_and_spacegroup(model)
    calculator.put_model_density_on_grid(model[0])
    factors = gemmi.transform_map_to_f_phi(calculator.grid).prepare_asu_data(dmin=1.0, unblur=calculator.blur)
    hkl = np.asarray(factors.miller_array, dtype=np.int32)
    intensity = np.abs(np.asarray(factors.value_array)) ** 2
    merged = merge_equivalents(hkl, intensity, np.ones(len(hkl)), group)
    return merged.hkl, merged.intensity
