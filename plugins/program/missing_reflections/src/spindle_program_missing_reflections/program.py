"""The program `missing_reflections`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import ParameterError, UserError
from spindle.params import Float, Int, PathParam
from spindle.params import Params as ParamsBase
from spindle.report import Table, json_text
from spindle.symmetry import asu_indices, unique_indices
from spindle_lib_merging import resolution_of
from spindle_lib_merging.intensities import prepare_intensities
from spindle_lib_selection.parts import join

from .regions import missing_regions

__all__ = ["MissingReflections"]

MAX_ROWS = 100
MOST_EXAMPLES = 5


class MissingReflections(Program):
    """List the regions of reciprocal space in which reflections are missing.

    Unique reflections that were not measured are joined where they are neighbours in the reciprocal lattice, and each region is
    listed with its resolution range. A large region is a missing wedge, a shadow or a gap of the detector; the directions of its
    reflections say how to turn the crystal for the rest.

        spindle missing_reflections scaled.expt scaled.refl
        spindle missing_reflections integrated.expt integrated.refl d_min=2
    """

    takes_files = False
    needs_columns = {"miller_index": "spindle integrate writes it"}

    class Params(ParamsBase):
        min_component_size = Int(0, min=0, none=True, help="Smallest region to list.")
        d_min = Float(None, min=0, none=True, units="angstrom", help="Resolution limit; by default that of the data.")
        d_max = Float(
            None, min=0, none=True, units="angstrom", help="Low-resolution limit; by default that of the data."
        )

        class output(ParamsBase):
            """Output files."""

            json = PathParam(None, none=True, help="All regions with their reflections.")
            log = PathParam("spindle.missing_reflections.log", none=True, help="Log file.")

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Any, context: Any) -> ProgramResult:
        """Compare with the complete set; see `spindle.contracts.program.ProgramSpec`."""
        experiments = inputs.experiments
        if not experiments or not inputs.reflections:
            raise UserError(
                "missing_reflections: give experiments and reflections: spindle missing_reflections scaled.expt scaled.refl"
            )
        table = join(inputs.reflections)
        assert table is not None
        crystals = [e.crystal for e in experiments if e.crystal is not None]
        if len(crystals) < len(experiments):
            raise UserError("missing_reflections: an experiment has no crystal; run spindle index and integrate first")
        if len(groups := {c.space_group.xhm() for c in crystals}) > 1:
            raise UserError(
                f"missing_reflections: the crystals are in {', '.join(sorted(groups))}; spindle symmetry or cosym brings them to one "
                "group"
            )
        group, cell = crystals[0].space_group, np.mean([c.cell for c in crystals], axis=0)
        hkl = prepare_intensities(table).table["miller_index"]
        d = resolution_of(hkl, cell)
        d_min = float(d.min()) - 1e-6 if params.d_min is None else float(params.d_min)
        d_max = np.inf if params.d_max is None else float(params.d_max)
        if not 0 < d_min < d_max:
            raise ParameterError(f"missing_reflections: d_min={d_min:.3f} must be smaller than d_max={d_max:.3f}")
        complete = unique_indices(cell, group, d_min, d_max)
        if not len(complete):
            raise UserError(
                f"missing_reflections: there is no reflection between d_max={d_max:.3f} and d_min={d_min:.3f}"
            )
        seen = np.unique(asu_indices(hkl[(d >= d_min) & (d <= d_max)], group)[0], axis=0)
        found = missing_regions(complete, seen, group, cell)
        n_missing = sum(len(r) for r in found.regions) + found.n_single
        context.log.info(
            "To %.2f A %d of %d unique reflections are missing (%.1f %%), %d of them alone",
            d_min, n_missing, len(complete), 100 * n_missing / len(complete), found.n_single,
        )  # fmt: skip
        listed = [r for r in found.regions if len(r) >= max(params.min_component_size or 0, 2)]
        rows = []
        for region in listed[:MAX_ROWS]:
            spacing = resolution_of(region, cell)
            examples = "; ".join(" ".join(map(str, h)) for h in region[:MOST_EXAMPLES].tolist())
            rows.append(
                [len(region), round(100 * len(region) / len(complete), 1), f"{spacing.max():.2f}-{spacing.min():.2f}",
                 examples + (" ..." if len(region) > MOST_EXAMPLES else "")]
            )  # fmt: skip
        headers = ["# reflections", "% missing", "Resolution range (A)", "Such as"]
        context.table(Table("Regions of missing reflections", headers, rows, "missing_regions"))
        files: dict[str, Callable[[Path], None]] = {}
        if params.output.json is not None:
            content = {
                "d_min": d_min, "d_max": params.d_max, "n_unique": len(complete), "n_missing": n_missing,
                "regions": [r.tolist() for r in listed],
            }  # fmt: skip
            files[str(params.output.json)] = _writer(json_text(content) + "\n")
        completeness = 1 - n_missing / len(complete)
        largest = len(listed[0]) if listed else 0
        return ProgramResult(
            files=files,
            summary={
                "n_unique": len(complete), "n_missing": n_missing, "completeness": round(completeness, 4),
                "n_regions": len(listed), "sizes": [len(r) for r in listed],
            },
            next_step="nothing is missing in one place" if largest < 0.02 * len(complete) else
            "a region of several per cent is a wedge that was not turned through, or a shadow: collect a sweep in another orientation",
        )  # fmt: skip


def _writer(text: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_text(text, encoding="utf-8")

    return write
