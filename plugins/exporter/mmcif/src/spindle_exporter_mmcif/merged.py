"""Merged reflections as mmCIF."""

from __future__ import annotations

from typing import IO

import numpy as np

from spindle.contracts.exporter import MergedColumn, MergedData
from spindle.models import space_group_from_symbol
from spindle_lib_exchange import write_rows

from .items import head, loop, software

ITEMS = {
    "IMEAN": "intensity_meas", "SIGIMEAN": "intensity_sigma", "F": "F_meas_au", "SIGF": "F_meas_sigma_au",
    "I(+)": "pdbx_I_plus", "SIGI(+)": "pdbx_I_plus_sigma", "I(-)": "pdbx_I_minus", "SIGI(-)": "pdbx_I_minus_sigma",
    "F(+)": "pdbx_F_plus", "SIGF(+)": "pdbx_F_plus_sigma", "F(-)": "pdbx_F_minus", "SIGF(-)": "pdbx_F_minus_sigma",
    "DANO": "pdbx_anom_difference", "SIGDANO": "pdbx_anom_difference_sigma", "FreeR_flag": "pdbx_r_free_flag",
}  # fmt: skip


def write_merged(file: IO[str], merged: MergedData) -> None:
    """Write one data block for each data set; columns that PDBx has no item for are left out."""
    group = space_group_from_symbol(merged.space_group)
    for number, dataset in enumerate(merged.datasets):
        entry = dataset.name.upper()
        file.write(f"data_{dataset.name}\n#\n_entry.id {entry}\n#\n")
        loop(file, "_audit", ["revision_id", "creation_method"], [[1, "Spindle"]])
        software(file, True)
        names = ["length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma"]
        loop(file, "_cell", ["entry_id", *names], [[entry, *map(float, np.round(dataset.cell, 5))]])
        items = ["entry_id", "space_group_name_H-M", "Int_Tables_number"]
        loop(file, "_symmetry", items, [[entry, group.hm, group.number]])
        loop(file, "_symmetry_equiv", ["id", "pos_as_xyz"], _operators(group))
        loop(file, "_exptl_crystal", ["id"], [[1]])
        loop(file, "_diffrn", ["id", "crystal_id"], [[1, 1]])
        loop(file, "_diffrn_radiation_wavelength", ["id", "wavelength"], [[1, float(dataset.wavelength)]])
        loop(file, "_diffrn_radiation", ["diffrn_id", "wavelength_id"], [[1, 1]])
        loop(file, "_reflns_scale", ["group_code"], [[1]])
        _reflections(file, merged, [c for c in merged.columns if c.dataset == number])


def _operators(group) -> list[list[object]]:  # type: ignore[no-untyped-def]
    return [[i + 1, op.triplet()] for i, op in enumerate(group.operations())]


def _reflections(file: IO[str], merged: MergedData, columns: list[MergedColumn]) -> None:
    """Write the loop of one data set: the rows that it has a value for."""
    known = {}
    for column in columns:
        item = ITEMS.get(column.label.split("_WAVE")[0])
        if item is not None:
            known[item] = np.asarray(column.values, dtype=np.float64)
    measured = np.zeros(len(merged.miller_index), dtype=bool)
    for item, values in known.items():
        if item != "pdbx_r_free_flag":
            measured |= np.isfinite(values)
    hkl = merged.miller_index[measured]
    items = ["crystal_id", "wavelength_id", "scale_group_code", "index_h", "index_k", "index_l", "status"]
    free = known.get("pdbx_r_free_flag")
    status = np.full(len(hkl), "o")
    if free is not None:
        status[free[measured] == 0] = "f"
    ones = np.ones(len(hkl), np.int64)
    texts = [ones, ones, ones, *hkl.T, status]
    form = "%d %d %d %d %d %d %s"
    for item, values in known.items():
        chosen = values[measured]
        whole = item == "pdbx_r_free_flag"
        missing = ~np.isfinite(chosen)
        items.append(item)
        if not missing.any():
            texts.append(chosen)
            form += " %d" if whole else " %.6g"
            continue
        said = np.char.mod("%d" if whole else "%.6g", np.where(missing, 0.0, chosen))
        texts.append(np.where(missing, "?", said))
        form += " %s"
    head(file, "_refln", items)
    write_rows(file, form, texts)
    file.write("#\n")
