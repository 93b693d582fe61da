"""What the user reads about crystals and indexed spots."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spindle.contracts.refiner import RefinementResult
from spindle.models import Crystal
from spindle.report import Table
from spindle.symmetry import lattice_subgroups
from spindle.table import ReflectionTable


def format_with_sd(value: float, sd: float | None) -> str:
    """Value and its standard deviation in units of the last digit: 78.893(3)."""
    if sd is None or not np.isfinite(sd) or sd <= 1e-7:  # fixed by symmetry
        return f"{value:.3f}" if value not in (90.0, 120.0) else f"{value:.1f}"
    digits = max(0, 1 - int(np.floor(np.log10(sd))))
    last = round(sd * 10**digits)
    if last > 19:
        digits = max(0, digits - 1)
        last = round(sd * 10**digits)
    return f"{value:.{digits}f}({last})"


def crystal_text(crystal: Crystal) -> str:
    """Cell and space group as lines."""
    deviations = crystal.cell_sd if crystal.cell_sd is not None else [None] * 6
    cell = ", ".join(format_with_sd(round(float(v), 6), s) for v, s in zip(crystal.cell, deviations, strict=True))
    return f"    Unit cell: {cell}\n    Space group: {crystal.space_group.xhm()}"


def matrices_text(crystals: Sequence[Crystal]) -> str:
    """U, B and A of each crystal."""
    lines = []
    for number, crystal in enumerate(crystals, 1):
        lines += [f"Matrices of model {number}:", *_matrices(crystal)]
    return "\n".join(lines)


def _matrices(crystal: Crystal) -> list[str]:
    lines = []
    for name, matrix in (("U matrix:", crystal.U), ("B matrix:", crystal.B), ("A = UB:", crystal.A)):
        rows = ["{" + ", ".join(f"{v: .4f}" for v in row) + "}" for row in matrix]
        lines.append(f"    {name:<10} {{{rows[0]},")
        lines += [f"{'':16}{rows[1]},", f"{'':16}{rows[2]}}}"]
    return lines


def models_text(title: str, crystals: Sequence[Crystal], counts: Sequence[int]) -> str:
    """All crystal models with the number of spots of each."""
    lines = [title]
    for number, (crystal, count) in enumerate(zip(crystals, counts, strict=True), 1):
        lines += [f"model {number} ({count} reflections):", crystal_text(crystal)]
    return "\n".join(lines)


def cycle_text(number: int, table: ReflectionTable, result: RefinementResult | None) -> str:
    """What one macro-cycle of indexing and refinement gave."""
    indexed, total = int(np.count_nonzero(table["id"] >= 0)), len(table)
    text = f"Macro-cycle {number}: {indexed} of {total} spots indexed"
    if result is None or not len(result.rmsd_px):
        return text
    n = np.maximum(result.n_reflections, 1)
    x, y, z = np.sqrt((result.rmsd_px**2 * n[:, None]).sum(axis=0) / n.sum())
    angle = "deg" if any(e.is_still for e in result.experiments) else "images"
    return f"{text}; RMSD {x:.3f}, {y:.3f} px, {z:.3f} {angle} of {int(result.n_reflections.sum())}"


def indexed_table(table: ReflectionTable, n_sweeps: int) -> Table:
    """How many spots of each sweep are indexed."""
    rows = []
    for sweep in range(n_sweeps):
        here = table["imageset_id"] == sweep
        indexed = int(np.count_nonzero(here & (table["id"] >= 0)))
        total = int(np.count_nonzero(here))
        rows.append([sweep, indexed, total - indexed, f"{100 * indexed / total:.1f}%" if total else "--"])
    return Table("", ["Imageset", "# indexed", "# unindexed", "% indexed"], rows, "indexed")


def lattice_table(crystal: Crystal, max_delta: float = 1.0) -> Table:
    """Symmetries that the lattice of a crystal has within a tolerance: what the space group could be.

    Parameters
    ----------
    crystal : Crystal
    max_delta : float, degrees
        Largest Le Page deviation of a two-fold axis.
    """
    rows = []
    for symmetry in lattice_subgroups(crystal.cell, crystal.space_group, max_delta):
        cell = " ".join([f"{v:.2f}" for v in symmetry.best_cell[:3]] + [f"{v:.1f}" for v in symmetry.best_cell[3:]])
        metric_fit = f"{symmetry.max_angular_difference:.4f}"
        rows.append([metric_fit, symmetry.bravais, cell, symmetry.to_best.as_abc()])
    return Table(
        "Symmetries that the lattice has (intensities decide between them, in spindle symmetry):",
        ["Metric fit\n(deg)", "Lattice", "Unit cell", "Change of basis"],
        rows,
        "lattice_symmetries",
    )


def lattice_counts(table: ReflectionTable, n_lattices: int, n_sweeps: int) -> list[int]:
    """Spots of each lattice."""
    lattice = table["id"] // n_sweeps
    return [int(np.count_nonzero((table["id"] >= 0) & (lattice == number))) for number in range(n_lattices)]
