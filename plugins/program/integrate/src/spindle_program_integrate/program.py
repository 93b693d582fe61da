"""`spindle integrate`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spindle.contracts import Citation, Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import UserError
from spindle.execution import RunContext
from spindle.models import Experiments
from spindle.prediction import predict_for_indexed
from spindle.report import DETAIL, Table, json_text
from spindle.table import Flag, ReflectionTable
from spindle_lib_image_ranges import excluded_images
from spindle_lib_selection.significance import significance
from spindle_lib_spots.reference import check_distance, split_reference

from .absorption import correct_absorption
from .filters import only_rows, select_rows
from .images import restrict_scan
from .parameters import IntegrateParams, check_params, check_stills_params
from .passes import Integrator
from .preparation import prepare
from .stills import MOST_SHOWN, integrate_stills, refuse_mixture, stills_table
from .tables import all_together, overviewed, summary_tables


@dataclass(frozen=True)
class _Done:
    """What is told of a run when all is measured: the profile plugin, lost images, and the fitter."""

    profile: Any
    lost: list[Any]
    fitter: Any


class Integrate(Program):
    """Predict every reflection of the scan and measure its intensity.

    Takes refined experiments and, with them, the indexed spots from which the shape of spots is learned. Images are read twice:
    strong spots teach the reference profiles, then all predictions are summed and profile fitted.

        spindle integrate refined.expt refined.refl
        spindle integrate refined.expt refined.refl prediction.d_min=1.8 background.algorithm=simple
    """

    citations = (
        Citation(
            "Kabsch, W.",
            2010,
            "Integration, scaling, space-group assignment and post-refinement",
            "Acta Cryst. D",
            "66",
            "133-144",
            "10.1107/S0907444909047374",
        ),
    )

    takes_files = False
    needs_columns = {"miller_index": "spindle index and spindle refine write it"}

    Params = IntegrateParams

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Any, context: RunContext) -> ProgramResult:
        experiments, reference = self._inputs(inputs, params)
        if refuse_mixture(experiments):
            return self._stills(experiments, reference, params, context)
        check_params(params)
        log = context.log
        rubbish = None
        if params.scan_range:
            experiments, reference = restrict_scan(experiments, params.scan_range, reference)
        if reference is not None:
            log.info("Processing reference reflections", extra=DETAIL)
            reference, rubbish = split_reference(reference, len(experiments), log, "integrate")
            reference = predict_for_indexed(experiments, reference)
            reference = reference.select(reference.has_flags(Flag.PREDICTED))
            check_distance(reference, "integrate")

        profile = context.chosen(params.profile)
        ready = prepare(experiments, reference, profile, params, context)
        if rubbish is not None and ready.unmatched is not None and len(ready.unmatched):
            rubbish = ReflectionTable.concatenate([rubbish, ready.unmatched])
        integrator = Integrator(
            context, ready.experiments, ready.predicted, profile, params, _excluded(params, experiments)
        )
        brightness = ready.brightness
        del ready, reference
        table, debug = integrator.run(brightness)
        integrator.forget()
        table = correct_absorption(table, integrator.experiments, params.absorption_correction, profile, context)
        experiments = integrator.experiments
        tables = [*integrator.tables, *summary_tables(table, experiments)]
        done = _Done(integrator.profile, integrator.lost, integrator.fitter)
        return self._finish(experiments, table, debug, done, rubbish, tables, params, context)

    def _stills(
        self, experiments: Experiments, reference: ReflectionTable | None, params: Any, context: RunContext
    ) -> ProgramResult:
        """The same for stills, each a crystal of its own."""
        check_stills_params(params)
        found = integrate_stills(experiments, reference, params, _excluded(params, experiments), context)
        assert found.table is not None
        profile = context.chosen(params.profile)
        per_still, told = stills_table(found, experiments, found.table, profile)
        if told:
            context.log.warning(
                "WARNING: %d of %d stills cannot be integrated and are left out:\n  %s", len(told), len(experiments),
                "\n  ".join(f"{one['image']}: {one['reason']}" for one in told[:MOST_SHOWN]),
            )  # fmt: skip
        done = _Done(profile, found.lost, None)
        tables = [*found.tables, per_still, all_together(found.table)]
        result = self._finish(found.experiments, found.table, found.debug, done, found.rubbish, tables, params, context)
        known = all((e.known_crystal.extra or {}).get("space_group_is_known") for e in found.experiments)
        files = f"{params.output.experiments} {params.output.reflections}"
        result.next_step = f"spindle scale_stills {files}" if known else f"spindle cosym {files}"
        result.summary.update(n_stills=len(experiments), n_stills_integrated=len(found.experiments), failed=told)
        return result

    @staticmethod
    def _inputs(inputs: ProgramInputs, params: Any) -> tuple[Experiments, ReflectionTable | None]:
        experiments = inputs.experiments
        if experiments is None or not len(experiments):
            raise UserError("integrate: give experiments, e.g. spindle integrate refined.expt refined.refl")
        for i, experiment in enumerate(experiments):
            if experiment.crystal is None:
                raise UserError(f"integrate: experiment {i} has no crystal; run spindle index first")
            if experiment.imageset is None:
                raise UserError(f"integrate: experiment {i} has no images; run spindle import")
        if not inputs.reflections:
            if params.create_profile_model:
                raise UserError(
                    "integrate: give the indexed reflections too, from which the profile model is made, or create_profile_model=False"
                )
            return experiments, None
        return experiments, ReflectionTable.concatenate(inputs.reflections)

    def _finish(
        self,
        experiments: Experiments,
        table: ReflectionTable,
        debug: ReflectionTable | None,
        of: _Done,
        rubbish: ReflectionTable | None,
        tables: list[Table],
        params: Any,
        context: RunContext,
    ) -> ProgramResult:
        log = context.log
        files: dict[str, Any] = {}
        done = table.has_flags(Flag.INTEGRATED_SUM | Flag.INTEGRATED_PRF, all=False)
        p = params.integration
        keep = np.ones(len(table), bool)
        if not params.output.output_unintegrated_reflections:
            log.info("Removing %d unintegrated reflections of %d total", np.count_nonzero(~done), len(table))
            keep &= done
        if p.overlaps_filter.foreground_foreground.enable:
            keep &= ~table.has_flags(Flag.OVERLAPPED_FG)
        if p.overlaps_filter.foreground_background.enable:
            keep &= ~table.has_flags(Flag.OVERLAPPED_BG)
        table = only_rows(table, keep)
        if params.significance_filter.enable:
            kept, more = significance(table, params.significance_filter)
            tables += more
            log.info("Significance filter: %d of %d reflections kept", np.count_nonzero(kept), len(kept))
            table = only_rows(table, kept)
        if not len(table):
            raise UserError(
                "integrate: no reflection could be integrated; see the table 'Summary for experiment' in the log for the reasons"
            )
        if debug is not None:
            table = self._debug(table, debug, experiments, files, params)
        if params.output.include_bad_reference and rubbish is not None and len(rubbish):
            rubbish = rubbish.without("shoebox")
            rubbish.set_flags(slice(None), Flag.BAD_REFERENCE)
            table = ReflectionTable.concatenate([table, rubbish])
        if p.debug.reference.output and of.fitter is not None:
            files[p.debug.reference.filename] = _writer_of_profiles(of.fitter.reference_profiles())
        for one in overviewed(tables):
            context.table(one)
        if params.output.report:
            files[params.output.report] = _writer_of_report(tables)
        table.identifiers = experiments.identifiers
        flags = table["flags"]
        summary: dict[str, Any] = {
            "n_integrated": len(table),
            "n_summed": int(np.count_nonzero(flags & np.uint64(int(Flag.INTEGRATED_SUM)))),
            "n_profile_fitted": int(np.count_nonzero(flags & np.uint64(int(Flag.INTEGRATED_PRF)))),
            "d_min": float(table["d"][table["d"] > 0].min()),
            "lost_images": [one.as_dict() for one in of.lost],
        }
        described = [of.profile.describe_model(model=e.profile).numbers for e in experiments]
        for name in dict.fromkeys(name for numbers in described for name in numbers):
            summary.setdefault(name, [numbers.get(name) for numbers in described])
        return ProgramResult(
            experiments=experiments,
            reflections=table,
            tables=tables,
            summary=summary,
            files=files,
            next_step=f"spindle symmetry {params.output.experiments} {params.output.reflections}",
        )

    @staticmethod
    def _debug(
        table: ReflectionTable, shoeboxes: ReflectionTable, experiments: Experiments, files: dict[str, Any], params: Any
    ) -> ReflectionTable:
        """Attach kept shoeboxes: to the table, or to files of their own."""
        p = params.integration.debug
        held = shoeboxes
        where = np.full(int(max(held["partial_id"].max(), table["partial_id"].max())) + 1, -1, np.int64)
        where[held["partial_id"].astype(np.int64)] = np.arange(len(held))
        found = where[table["partial_id"].astype(np.int64)]
        chosen = found >= 0
        if p.select:
            chosen &= select_rows(table, p.select)
        if not p.separate_files:
            if p.delete_shoeboxes:
                return table
            table = table.select(chosen)
            table["shoebox"] = held["shoebox"].select(found[chosen])
            return table
        part = table.select(chosen)
        part["shoebox"] = held["shoebox"].select(found[chosen])
        names = [f"shoeboxes_{i}.refl" for i in range(len(experiments))] if p.split_experiments else ["shoeboxes.refl"]
        for i, name in enumerate(names):
            files[name] = _writer_of_table(part.select(part["id"] == i) if p.split_experiments else part)
        return table


def _writer_of_table(table: ReflectionTable) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        from spindle.files import write_reflections

        write_reflections(table, path)

    return write


def _writer_of_profiles(profiles: list[dict[str, Any]]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with open(path, "wb") as stream:
            np.savez_compressed(
                stream,
                data=np.array([p["data"] for p in profiles]),
                coord=np.array([p["coord"] for p in profiles]),
                experiment=np.array([p["experiment"] for p in profiles]),
                n_reflections=np.array([p["n_reflections"] for p in profiles]),
            )

    return write


def _writer_of_report(tables: list[Table]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with open(path, "w") as stream:
            stream.write(json_text({"tables": [t.to_dict() for t in tables]}, 1))

    return write


def _excluded(params: IntegrateParams, experiments: Experiments) -> list[set[int]]:
    """Array indices that each experiment leaves out."""
    out: list[set[int]] = [set() for _ in experiments]
    for number, first, last in excluded_images(params.exclude_images, experiments):
        out[number].update(range(first - 1, last))
    return out
