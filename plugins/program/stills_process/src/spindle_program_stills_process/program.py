"""The program `stills_process`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import UserError
from spindle.files import write_experiments, write_reflections
from spindle.models import Experiment, Experiments
from spindle.report import EVENT, Table, json_text
from spindle.table import ReflectionTable

from .geometry import choose_crystals, with_geometry_of, with_models_of
from .integrating import NotIntegratedError, integrated
from .outcomes import outcome_table, reasons_table
from .params import StillsProcessParams
from .parts import Parts, key_of
from .tasks import INDEXED, FindAndIndex, Outcome, RefineCrystals, is_given, quieted

__all__ = ["StillsProcess"]

BEAM_FIX = "refinement.parameterisation.beam.fix"
FEWEST_FOR_GEOMETRY = 3  # crystals, and
FEWEST_FOR_DISTANCE = (
    10  # with fewer, the distance and the cells, and tilts, look too much alike: the detector is only shifted
)
FEWEST_SPOTS_FOR_GEOMETRY = 150  # their spots together


class StillsProcess(Program):
    """Process stills, each a crystal of its own, from images to integrated intensities.

    Give images, or the experiments that `spindle import` wrote of them: `spindle stills_process images/*.cbf unit_cell=...
    space_group=...`. Spots are found and indexed by tasks of some images each; beam and detector are refined with many crystals
    together, then each crystal with that geometry; the crystals are integrated. What cannot be processed is left out and
    counted with its reason. Given indexed.expt and indexed.refl of an earlier run, it goes on with the refinement.

        spindle stills_process images/*.cbf unit_cell=78,78,37,90,90,90 space_group=P43212
        spindle stills_process imported.expt

    What is finished is kept in the folder output.parts until the end. The same command goes on from there when it was interrupted.
    """

    Params = StillsProcessParams

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Any, context: Any) -> ProgramResult:
        """See `spindle.contracts.program.ProgramSpec`."""
        if inputs.reflections:
            experiments, table = self._earlier(inputs)
            outcomes = [Outcome(i, e.image_name, INDEXED) for i, e in enumerate(experiments)]
            return self._from_indexed(experiments, table, outcomes, False, params, context)
        stills = self._stills(inputs, params, context)
        # only a command has a folder to leave parts in
        folder = params.output.parts if inputs.sources and params.dispatch.index else None
        parts = Parts(
            folder, "" if folder is None else key_of(stills, params, version("spindle-diffraction-base")), params.resume
        )
        with quieted():
            outcomes = self._find_and_index(stills, params, context, parts)
        files: dict[str, Any] = {}
        if params.output.strong is not None:
            files[str(params.output.strong)] = _writer(write_reflections, _spots(outcomes))
        if not params.dispatch.index:
            return self._end(outcomes, params, context, files, "spindle stills_process with dispatch.index=True")
        experiments, table = _joined(stills, outcomes)
        if not len(experiments):
            told = reasons_table(outcomes)
            context.table(outcome_table(outcomes))
            context.table(told)
            first = next((o for o in outcomes if o.n_spots), outcomes[0])
            raise UserError(
                f"stills_process: none of {len(outcomes)} images was indexed. The first with spots, {first.name}: {first.reason or first.outcome}. "
                f"Look at one by itself for more: spindle find_spots and spindle index"
            )
        context.log.info("%d crystals indexed", len(experiments))
        result = self._from_indexed(experiments, table, outcomes, True, params, context, parts)
        result.files.update(files)
        if folder is not None:
            # parts are needed no more when the last output is written
            if not result.files:
                parts.remove()
            for last in list(result.files)[-1:]:
                result.files[last] = _then(result.files[last], parts.remove)
        return result

    # -- steps
    # ---------------------------------------------------------------------------------------------------------------------

    @staticmethod
    def _earlier(inputs: ProgramInputs) -> tuple[Experiments, ReflectionTable]:
        experiments = inputs.experiments
        if experiments is None or any(e.crystal is None for e in experiments):
            raise UserError(
                "stills_process: reflections were given, with which experiments that have crystals are expected: indexed.expt and "
                "indexed.refl of an earlier run; or give images alone"
            )
        _refuse_sweeps(experiments)
        return experiments, ReflectionTable.concatenate(inputs.reflections)

    @staticmethod
    def _stills(inputs: ProgramInputs, params: Any, context: Any) -> list[Experiment]:
        """One experiment for each image that is processed."""
        experiments = inputs.experiments
        if experiments is None:
            given = params.import_.input
            if not inputs.files and not given.template and not given.directory:
                raise UserError("stills_process: give images, e.g. spindle stills_process images/*.cbf")
            experiments = context.run_program("import", files=inputs.files, brief=True).experiments
        elif inputs.files:
            raise UserError(
                f"stills_process: {inputs.files[0]} and an experiment list were given; give either images or experiments"
            )
        _refuse_sweeps(experiments)
        stills = list(experiments)
        for i, still in enumerate(stills):
            if still.imageset is None:
                raise UserError(f"stills_process: experiment {i} has no images; run spindle import")
            if still.scan is not None and still.scan.n_images > 1:
                raise UserError(
                    f"stills_process: experiment {i} has {still.scan.n_images} images of width 0; import them again, each is an experiment then"
                )
        if params.input.max_images is not None:
            stills = stills[: params.input.max_images]
        if params.dispatch.process_percent is not None:
            wanted = max(1, round(len(stills) * params.dispatch.process_percent / 100))
            stills = [stills[i] for i in np.linspace(0, len(stills) - 1, wanted).round().astype(int)]
        return stills

    @staticmethod
    def _find_and_index(stills: list[Experiment], params: Any, context: Any, parts: Parts) -> list[Outcome]:
        p = params.dispatch
        hits = p.hit_finder
        task = FindAndIndex(
            context, hits.minimum_number_of_reflections if hits.enable else None,
            hits.maximum_number_of_reflections if hits.enable else None, p.index, p.squash_errors,
        )  # fmt: skip
        size = params.images_per_task
        blocks = [(i, stills[i : i + size]) for i in range(0, len(stills), size)]
        context.log.info("Finding spots on %d images%s", len(stills), " and indexing them" if p.index else "")
        outcomes: list[Outcome] = []
        indexed = 0
        with context.progress("spots and lattices", len(stills)) as progress:
            work = parts.mapped("spots_and_lattices", blocks, lambda some: context.executor.map(task, some))
            for number, found in enumerate(work):
                outcomes += found
                indexed += sum(len(o.experiments) for o in found)
                progress.advance(len(found))
                if len(blocks) > 20 and (number + 1) % (len(blocks) // 10) == 0:
                    context.log.info(" %d of %d images, %d crystals", len(outcomes), len(stills), indexed, extra=EVENT)
        if parts.n_taken:
            context.log.info(
                "Of these, %d of %d parts were taken from %s, which an interrupted run has left",
                parts.n_taken,
                len(blocks),
                parts.folder,
            )
        return outcomes

    def _from_indexed(
        self, experiments: Experiments, table: ReflectionTable, outcomes: list[Outcome], write_indexed: bool, params: Any, context: Any,
        parts: Parts | None = None,
    ) -> ProgramResult:  # fmt: skip
        files: dict[str, Any] = {}
        name = params.output.indexed
        if write_indexed and name:
            files[f"{name}.expt"] = _writer(write_experiments, experiments)
            files[f"{name}.refl"] = _writer(write_reflections, table)
        table = table.select(table["id"] >= 0)
        if params.dispatch.refine and params.dispatch.integrate:
            experiments, table = self._refine(experiments, table, params, context)
        if not params.dispatch.integrate:
            return self._end(outcomes, params, context, files, f"spindle stills_process {name}.expt {name}.refl")
        context.log.info("Integrating %d crystals", len(experiments))
        try:
            done = integrated(
                experiments, table, params.output.crystals_per_part, context, parts or Parts(None, "", False)
            )
        except NotIntegratedError as refused:  # what is indexed is worth having
            error = refused.__cause__
            result = self._end(outcomes, params, context, files, "", 0, len(experiments))
            result.summary["problem"] = str(error)
            result.next_step = f"mend this: {error}"
            context.log.warning("WARNING: nothing could be integrated: %s", error)
            return result
        failed = {one["experiment"]: one["reason"] for one in done.summary.get("failed", [])}
        owner = _owners(outcomes, len(experiments))
        for number, reason in failed.items():
            outcomes[owner[number]].reason = f"not integrated: {reason}"
        result = self._end(
            outcomes, params, context, files, done.next_step or "", len(done.experiments or ()), len(failed)
        )
        result.experiments, result.reflections = done.experiments, done.reflections
        _tell_crystals(done, context)
        result.summary.update(
            {k: v for k, v in done.summary.items() if k in ("n_integrated", "n_summed", "d_min", "sigma_b", "sigma_m")}
        )
        return result

    @staticmethod
    def _refine(
        experiments: Experiments, table: ReflectionTable, params: Any, context: Any
    ) -> tuple[Experiments, ReflectionTable]:
        chosen = choose_crystals(experiments, table, params.dispatch.geometry_crystals)
        part = table.select(np.isin(table["id"], chosen))
        if len(chosen) >= FEWEST_FOR_GEOMETRY and len(part) >= FEWEST_SPOTS_FOR_GEOMETRY:
            place = np.full(len(experiments), -1, np.int32)
            place[chosen] = np.arange(len(chosen), dtype=np.int32)
            part["id"], part.identifiers = place[part["id"]], {}
            context.log.info("Refining beam and detector with %d crystals", len(chosen))
            some = Experiments(experiments[i] for i in chosen)
            # beam, detector and all crystals turned together look the same: the beam is where it is
            own: dict[str, Any] = {} if is_given(context, "refine", BEAM_FIX) else {BEAM_FIX: "all"}
            if len(chosen) < FEWEST_FOR_DISTANCE:
                own["refinement.parameterisation.detector.fix_list"] = ("Dist", "Tau1", "Tau2", "Tau3")
                context.log.info(
                    " Its distance and tilt stay: fewer than %d crystals do not tell them", FEWEST_FOR_DISTANCE
                )
            try:
                result = context.run_program("refine", some, part, brief=True, **own)
                experiments = with_geometry_of(experiments, chosen, result.experiments, context.log)
            except UserError as error:
                context.log.warning("WARNING: beam and detector stay as they are: %s", str(error).splitlines()[0])
        elif params.dispatch.geometry_crystals:
            context.log.info(
                "Beam and detector stay as they are: %d crystals with %d spots do not tell enough of them",
                len(chosen),
                len(part),
            )
        blocks = list(_crystal_blocks(experiments, table, params.images_per_task))
        refined: list[Experiment] = []
        parts, unrefined = [], 0
        with quieted(), context.progress("refining crystals", len(experiments)) as progress:
            for items, found, kept in context.executor.map(RefineCrystals(context), blocks):
                found = found.view()
                found["id"] = found["id"] + np.int32(len(refined))
                parts.append(found)
                refined += items
                unrefined += kept
                progress.advance(len(items))
        if unrefined:
            context.log.info("%d of %d crystals could not be refined and stay as indexed", unrefined, len(refined))
        return with_models_of(refined, experiments), ReflectionTable.concatenate(parts)

    @staticmethod
    def _end(
        outcomes: list[Outcome], params: Any, context: Any, files: dict[str, Any], next_step: str,
        n_integrated: int = 0, n_failed: int = 0,
    ) -> ProgramResult:  # fmt: skip
        tables = [outcome_table(outcomes, n_integrated if params.dispatch.integrate else None, n_failed)]
        if any(o.reason for o in outcomes):
            tables.append(reasons_table(outcomes))
        for one in tables:
            context.table(one)
        counts = Counter(o.outcome for o in outcomes)
        summary: dict[str, Any] = {
            "n_images": len(outcomes),
            "n_indexed": counts[INDEXED],
            "n_crystals": sum(len(o.experiments) for o in outcomes) or counts[INDEXED],
            "n_crystals_integrated": n_integrated,
            "outcomes": dict(counts),
        }
        if params.output.json is not None:
            rows = [
                {
                    "image": o.name, "outcome": o.outcome, "reason": o.reason, "n_spots": o.n_spots, "n_indexed": o.n_indexed,
                    "cells": [[round(float(v), 4) for v in e.known_crystal.cell] for e in o.experiments],
                }
                for o in outcomes
            ]  # fmt: skip
            text = json_text({**summary, "images": rows}, 1)
            files[str(params.output.json)] = lambda path: path.write_text(text) and None
        return ProgramResult(tables=tables, summary=summary, files=files, next_step=next_step)


def _refuse_sweeps(experiments: Experiments) -> None:
    swept = [i for i, e in enumerate(experiments) if not e.is_still]
    if swept:
        name = experiments[swept[0]].image_name
        raise UserError(
            f"stills_process: {len(swept)} of {len(experiments)} experiments were rotated, the first is {name}: process them by "
            "themselves with spindle process, or import them as stills with geometry.scan.oscillation=0,0"
        )


def _spots(outcomes: list[Outcome]) -> ReflectionTable:
    """The spots of all images, with the number of the image as their experiment's where there is no crystal."""
    parts = []
    for outcome in outcomes:
        if outcome.reflections is not None:
            part = outcome.reflections.view()
            part.identifiers = {}
            part["id"] = np.full(len(part), outcome.number, np.int32)
            part["imageset_id"] = np.full(len(part), outcome.number, np.int32)
            parts.append(part)
    return ReflectionTable.concatenate(parts) if parts else ReflectionTable()


def _joined(stills: list[Experiment], outcomes: list[Outcome]) -> tuple[Experiments, ReflectionTable]:
    """All crystals with their spots; models that images have in common are shared again."""
    experiments: list[Experiment] = []
    parts = []
    for outcome in outcomes:
        table = outcome.reflections
        if not outcome.experiments or table is None:
            continue
        still = stills[outcome.number]
        part = table.view()
        part.identifiers = {}
        part["id"] = np.where(part["id"] >= 0, part["id"] + len(experiments), -1).astype(np.int32)
        experiments += with_models_of(outcome.experiments, [still] * len(outcome.experiments))
        parts.append(part)
        outcome.reflections = None
    if not experiments:
        return Experiments([]), ReflectionTable()
    joined = ReflectionTable.concatenate(parts)
    joined["imageset_id"] = np.zeros(len(joined), np.int32)
    result = Experiments(experiments)
    joined.identifiers = result.identifiers
    return result, joined


def _owners(outcomes: list[Outcome], n: int) -> list[int]:
    """The outcome that each of n crystals belongs to."""
    owners = [k for k, o in enumerate(outcomes) for _ in o.experiments]
    return owners if len(owners) == n else list(range(n))


def _crystal_blocks(experiments: Experiments, table: ReflectionTable, size: int) -> Any:
    rows = table.rows_by_experiment()
    for start in range(0, len(experiments), size):
        some = list(experiments)[start : start + size]
        own = [rows.get(start + k, np.zeros(0, np.int64)) for k in range(len(some))]
        part = table.select(np.concatenate(own))
        part.identifiers = {}
        part["id"] = part["id"] - np.int32(start)
        yield some, part


def _tell_crystals(done: ProgramResult, context: Any) -> None:
    """Cells and widths of the integrated crystals."""
    crystals = [e.known_crystal for e in done.experiments or ()]
    if not crystals:
        return
    cells = np.array([c.cell for c in crystals])
    rows = [
        ["median", *(f"{v:.3f}" for v in np.median(cells, axis=0))],
        ["spread", *(f"{v:.3f}" for v in cells.std(axis=0))],
    ]
    names = ["a (A)", "b (A)", "c (A)", "alpha (deg)", "beta (deg)", "gamma (deg)"]
    context.table(Table(f"Cells of {len(crystals)} crystals", ["", *names], rows, "cells"))


def _then(write: Callable[[Path], None], after: Callable[[], None]) -> Callable[[Path], None]:
    """A writer that does something more when it has written."""

    def both(path: Path) -> None:
        write(path)
        after()

    return both


def _writer(write: Callable[[Any, Path], None], content: Any) -> Callable[[Path], None]:
    return lambda path: write(content, path)
