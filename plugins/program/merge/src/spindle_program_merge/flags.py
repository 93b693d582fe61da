"""Test sets of merged data: drawn, or copied from a file."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from spindle.contracts.exporter import MergedColumn, MergedData
from spindle.errors import ParameterError
from spindle.symmetry import unique_indices
from spindle_lib_merging import (
    copied_flags,
    free_flags,
    number_of_flags,
    pack_indices,
    resolution_of,
)

from .flag_files import read_flags


def flag_column(
    hkl: np.ndarray, cell: np.ndarray, group: Any, r_free_flags: Any, log: Any, n_uncut: int = 0
) -> tuple[np.ndarray, np.ndarray] | None:
    """Indices and their flags, or None when there are to be none.

    Parameters
    ----------
    hkl : (n, 3) int
        Merged indices in the asymmetric unit.
    cell : (6,) float64
    group : gemmi.SpaceGroup
    r_free_flags : scope r_free_flags of merge
    log : logger
    n_uncut : int
        Unique reflections without a limit of resolution, where there are more: the test set is then a part of theirs.
    """
    if r_free_flags.reference is None:
        for name in ("extend", "old_test_flag_value", "column"):
            if (value := getattr(r_free_flags, name)) is not None:
                raise ParameterError(
                    f"r_free_flags.{name}={value} needs r_free_flags.reference=, whose flags are taken over; leave it out"
                )
        if not r_free_flags.generate:
            return None
    d = resolution_of(hkl, cell)
    d_min, d_max = r_free_flags.d_min or float(d.min()), r_free_flags.d_max or float(d.max())
    if r_free_flags.relative_to_complete_set:
        hkl = np.unique(np.concatenate([hkl, unique_indices(cell, group, d_min, d_max)]), axis=0)
        d = resolution_of(hkl, cell)
    within = (d >= d_min * (1 - 1e-6)) & (d <= d_max * (1 + 1e-6))
    draw = partial(
        free_flags, hkl, cell, group,
        use_lattice_symmetry=r_free_flags.use_lattice_symmetry, max_delta=r_free_flags.lattice_symmetry_max_delta,
        n_shells=r_free_flags.n_shells if r_free_flags.use_dataman_shells else None,
    )  # fmt: skip
    if r_free_flags.reference is None:
        n_values = number_of_flags(max(len(hkl), n_uncut), r_free_flags.fraction, r_free_flags.max_free)
        drawn = draw(n_values=n_values)
        flags = np.where(within, drawn.flag.astype(float), np.nan)
        log.info(
            "FreeR_flag: 0 to %d, %d reflections of flag 0 are the test set",
            drawn.n_values - 1,
            int((flags == 0).sum()),
        )
        return hkl, flags
    reference = read_flags(Path(r_free_flags.reference), group, r_free_flags.old_test_flag_value, r_free_flags.column)
    extend = r_free_flags.extend is None or r_free_flags.extend
    more = draw(n_values=reference.n_values) if extend else None
    flags, missing = copied_flags(hkl, group, reference, more)
    flags = np.where(within, flags, np.nan)
    log.info(
        "FreeR_flag: from %s, which lacks %d reflections%s; %d are in the test set", r_free_flags.reference, missing,
        ", given flags by chance" if extend and missing else "", int((flags == 0).sum()),
    )  # fmt: skip
    return hkl, flags


def with_flags(merged: MergedData, hkl: np.ndarray, flags: np.ndarray) -> MergedData:
    """Merged data with a column of flags, and rows for indices that have only a flag."""
    rows = np.searchsorted(pack_indices(hkl), pack_indices(merged.miller_index))
    columns = [MergedColumn("FreeR_flag", "I", flags)]
    for column in merged.columns:
        values = np.full(len(hkl), np.nan)
        values[rows] = column.values
        columns.append(replace(column, values=values))
    return replace(merged, miller_index=hkl, columns=columns)
