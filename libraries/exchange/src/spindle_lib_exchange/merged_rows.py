"""Merged reflections of a file as a table: each mean, or each of a pair of Friedel mates, is a scaled observation."""

from __future__ import annotations

from collections.abc import Mapping

import gemmi
import numpy as np

from spindle.models import Crystal
from spindle.table import Flag, ReflectionTable

__all__ = ["MERGED_NOTES", "merged_rows"]

#: What the user should know of such a table.
MERGED_NOTES = (
    "reflections are merged: each is one scaled observation without a place on an image, for comparison and merging; they cannot be scaled "
    "or refined again"
)  # fmt: skip


def merged_rows(
    hkl: np.ndarray, columns: Mapping[str, np.ndarray], cell: np.ndarray, group: gemmi.SpaceGroup, number: int
) -> tuple[Crystal, ReflectionTable, str] | None:
    """The crystal and the rows of one data set.

    Parameters
    ----------
    hkl : (n, 3) int
    columns : mapping of str to (n,) float64
        Some of I, SIGI, I(+), SIGI(+), I(-), SIGI(-), F, SIGF, F(+) ...; NaN where there is no value.
    cell : (6,) float64, angstrom and degrees
    group : gemmi.SpaceGroup
    number : int
        The experiment that the rows are of.

    Returns
    -------
    crystal : Crystal
        In an orientation of its own.
    table : ReflectionTable
        Rows of Friedel mates have the index of the mate; amplitudes are squared.
    said : str
        Which columns they are; None in place of all where there are neither intensities nor amplitudes.
    """
    crystal = Crystal.from_cell(cell, space_group=group)
    for kind in ("I", "F"):
        pairs = [(f"{kind}(+)", 1), (f"{kind}(-)", -1)]
        if all(name in columns and f"SIG{name}" in columns for name, _ in pairs):
            chosen = pairs
        elif kind in columns and f"SIG{kind}" in columns:
            chosen = [(kind, 1)]
        else:
            continue
        parts = []
        for name, sign in chosen:
            value, sigma = np.asarray(columns[name], float), np.asarray(columns[f"SIG{name}"], float)
            known = np.isfinite(value) & np.isfinite(sigma) & (sigma > 0)
            if sign < 0:  # the mate of a centric reflection is the reflection itself
                known &= ~np.asarray(group.operations().centric_flag_array(np.asarray(hkl, np.int32)), bool)
            value, sigma = value[known], sigma[known]
            if kind == "F":
                value, sigma = value**2, 2.0 * np.abs(value) * sigma
            parts.append((sign * np.asarray(hkl, np.int32)[known], value, sigma))
        if not sum(len(p[1]) for p in parts):
            continue
        index, value, sigma = (np.concatenate(column) for column in zip(*parts, strict=True))
        return crystal, _table(crystal, index, value, sigma, number), " and ".join(name for name, _ in chosen)
    return None


def _table(
    crystal: Crystal, hkl: np.ndarray, value: np.ndarray, sigma: np.ndarray, number: int
) -> ReflectionTable:  # fmt: skip
    n = len(hkl)
    table = ReflectionTable.with_rows(n, ["id", "flags", "miller_index"])
    table["id"], table["miller_index"] = np.full(n, number, np.int64), hkl
    table["panel"] = np.zeros(n, np.uint64)
    for kind in ("scale", "prf", "sum"):
        table[f"intensity.{kind}.value"], table[f"intensity.{kind}.variance"] = value.copy(), sigma**2
    table["inverse_scale_factor"], table["inverse_scale_factor_variance"] = np.ones(n), np.zeros(n)
    table["partiality"], table["partial_id"], table["lp"] = np.ones(n), np.arange(n, dtype=np.uint64), np.ones(n)
    table["d"] = 1.0 / np.maximum(np.linalg.norm(hkl @ crystal.A.T, axis=1), 1e-12)
    for name in ("xyzcal.px", "xyzcal.mm", "xyzobs.px.value", "xyzobs.px.variance", "xyzobs.mm.value", "s1"):
        table[name] = np.zeros((n, 3))
    flags = int(Flag.PREDICTED | Flag.INTEGRATED_PRF | Flag.INTEGRATED_SUM | Flag.SCALED)
    table["flags"] = np.full(n, flags, np.uint64)
    return table
