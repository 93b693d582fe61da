"""Unmerged intensities from tables of reflections or from an MTZ file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gemmi
import numpy as np

from spindle.contracts import ProgramInputs
from spindle.errors import FileFormatError, ParameterError, UserError
from spindle.symmetry import space_group
from spindle_lib_merging import merge_equivalents, prepare_intensities

__all__ = ["Unmerged", "read_merged", "read_unmerged"]


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
    """

    hkl: np.ndarray
    intensity: np.ndarray
    variance: np.ndarray
    batch: np.ndarray | None
    cell: np.ndarray
    group: gemmi.SpaceGroup
    source: str

    def select(self, rows: np.ndarray) -> Unmerged:
        """Some of them."""
        batch = None if self.batch is None else self.batch[rows]
        return Unmerged(
            self.hkl[rows], self.intensity[rows], self.variance[rows], batch, self.cell, self.group, self.source
        )


def read_unmerged(inputs: ProgramInputs, labels: Sequence[str] | None, log: Any) -> Unmerged:
    """The observations that the arguments name.

    Raises
    ------
    UserError
        If there are none, or several kinds of them.
    """
    usage = "spindle estimate_resolution scaled.expt scaled.refl, or one unmerged MTZ file"
    if inputs.files:
        if inputs.experiments is not None or inputs.reflections or len(inputs.files) > 1:
            raise UserError(f"estimate_resolution: give either tables or one MTZ file: {usage}")
        return _read_mtz(inputs.files[0], labels)
    if inputs.experiments is None or len(inputs.reflections) != 1:
        raise UserError(f"estimate_resolution: give one experiment file and one reflection file: {usage}")
    if labels:
        raise ParameterError("resolution.labels names columns of an MTZ file, and the input is none; leave it away")
    experiments, table = inputs.experiments, inputs.reflections[0]
    crystals = [e.known_crystal for e in experiments]
    data = prepare_intensities(table)
    log.info("%d observations with %s intensities", len(data), data.kind)
    if data.kind != "scale":
        log.warning(
            "The reflections are not scaled: what is found says little about merged data. Run spindle scale first"
        )
    rows, kind = data.table, data.best
    number = rows["id"].astype(np.int64)
    offset = np.array([e.scan.batch_offset if e.scan is not None else 0 for e in experiments])
    batch = np.floor(rows["xyzcal.px"][:, 2]).astype(np.int64) + 1 + offset[number] if "xyzcal.px" in rows else None
    cell = np.median([c.cell for c in crystals], axis=0)
    return Unmerged(
        rows["miller_index"], data.values[kind], data.variances[kind], batch, cell, crystals[0].space_group, "the table"
    )


def _read_mtz(path: Path, labels: Sequence[str] | None) -> Unmerged:
    mtz = _open(path)
    if mtz.column_with_label("M/ISYM") is None:
        raise FileFormatError(f"{path}: has no column M/ISYM, so it holds merged data; an unmerged MTZ file is needed")
    mtz.switch_to_original_hkl()
    columns = list(mtz.columns)
    candidates = [
        (c, columns[i + 1]) for i, c in enumerate(columns[:-1]) if c.type == "J" and columns[i + 1].type == "Q"
    ]
    names = "; ".join(f"{a.label},{b.label}" for a, b in candidates) or "none"
    if labels:
        wanted = [str(v).strip() for v in labels]
        candidates = [(a, b) for a, b in candidates if [a.label, b.label][: len(wanted)] == wanted]
        if not candidates:
            raise ParameterError(f"resolution.labels={','.join(wanted)}: no intensities of {path}; it has {names}")
    if len(candidates) != 1:
        raise UserError(
            f"{path}: {'several' if candidates else 'no'} columns of intensities and sigmas ({names})"
            + ("; choose with resolution.labels=" if candidates else "")
        )
    intensity, sigma = (np.array(c, dtype=float) for c in candidates[0])
    known = np.isfinite(intensity) & (sigma > 0)
    batch = mtz.column_with_label("BATCH")
    return Unmerged(
        np.array(mtz.make_miller_array(), dtype=np.int32)[known], intensity[known], sigma[known] ** 2,
        None if batch is None else np.array(batch, dtype=np.int64)[known], np.array(mtz.cell.parameters), mtz.spacegroup,
        path.name,
    )  # fmt: skip


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
    mtz = _open(path)
    found = list(mtz.columns_with_type("J")) or list(mtz.columns_with_type("F"))
    if not found:
        raise FileFormatError(f"{path}: has no column of type J (intensity) or F (amplitude)")
    values = np.array(found[0], dtype=float)
    values = values if found[0].type == "J" else values**2
    known = np.isfinite(values)
    hkl = np.array(mtz.make_miller_array(), dtype=np.int32)[known]
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


def _open(path: Path) -> gemmi.Mtz:
    if not path.is_file():
        raise FileFormatError(f"{path}: no such file; give an MTZ file")
    try:
        return gemmi.read_mtz_file(str(path))
    except (RuntimeError, ValueError) as error:
        raise FileFormatError(f"{path}: not an MTZ file that gemmi reads: {error}") from error
