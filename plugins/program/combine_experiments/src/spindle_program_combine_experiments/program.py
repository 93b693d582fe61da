"""The program `combine_experiments`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import ParameterError, UserError
from spindle.files import write_experiments, write_reflections
from spindle.models import Experiments, derived_identifier
from spindle.report import Table
from spindle.table import ReflectionTable, Shoeboxes
from spindle_lib_image_ranges import excluded_images, on_excluded_images
from spindle_lib_selection.parts import Parts, imageset_numbers, imagesets_of_rows, join
from spindle_lib_selection.significance import significance

from .groups import batches, cell_groups, dendrogram_writer
from .params import CombineParams
from .reference import with_reference_models
from .subset import chosen_experiments, d_spacings, image_order

MAX_ROWS = 100


class CombineExperiments(Program):
    """Join the experiments and reflections of several files into one.

    Reflections are found by the identifiers of their experiments; files without identifiers belong together in the order in which
    they are given. Experiments may be made to share one beam, detector, goniometer, scan or crystal, so that later steps
    refine one for all. Some of the experiments can be chosen, and groups with similar cells or of a certain number be written
    to files of their own.

        spindle combine_experiments sweep_1/indexed.expt sweep_2/indexed.expt sweep_1/indexed.refl sweep_2/indexed.refl
        spindle combine_experiments still_*.expt still_*.refl reference_from_experiment.detector=0 reference_from_experiment.beam=0
    """

    takes_files = False
    Params = CombineParams

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Any, context: Any) -> ProgramResult:
        """Join, choose and group; see `spindle.contracts.program.ProgramSpec`."""
        experiments = inputs.experiments
        if not experiments:
            raise UserError(
                "combine_experiments: no experiments: give experiment files, and the reflection files that belong to them: "
                "a.expt b.expt a.refl b.refl"
            )
        numbers = imageset_numbers(experiments)
        images = [imagesets_of_rows(t, numbers) for t in inputs.reflections if "id" in t]
        if len(images) != len(inputs.reflections):
            raise UserError(
                "combine_experiments: a reflection file has no column id, which tells its experiments apart"
            )
        table = join(inputs.reflections)
        models = with_reference_models(_named(experiments), params.reference_from_experiment)
        rows, where = None, np.concatenate(images) if images else np.zeros(0, np.int64)
        if table is not None:
            rows = _kept_rows(table, experiments, params, context)
            table, where = (table, where) if rows is None else (table.select(rows), where[rows])
            if params.output.delete_shoeboxes:
                table = table.without(*[n for n in table if _holds_shoeboxes(table, n)])
        parts = Parts(experiments, table, where)
        counts = parts.counts()
        chosen = chosen_experiments(experiments, counts, table, params.output, context)
        if params.output.sort_by_imageset_path_and_image_index:
            chosen = image_order(experiments, chosen)
        if table is not None:
            _report(counts[chosen], [_source(experiments[i]) for i in chosen], context)
        files: dict[str, Callable[[Path], None]] = {}
        groups: list[tuple[str, list[int]]] = [("", chosen)]
        if params.clustering.use:
            subset = Experiments([models[i] for i in chosen])
            found, distances = cell_groups(subset, params.clustering, context)
            groups = [(f"_cluster{k}", [chosen[i] for i in members]) for k, members in found]
            if params.clustering.dendrogram and len(subset) > 1:
                name = params.output.experiments_filename
                files[str(name.with_name(f"{name.stem}_dendrogram.png"))] = dendrogram_writer(
                    distances, params.clustering.threshold, [str(i) for i in range(len(subset))]
                )
        elif params.clustering.dendrogram:
            raise ParameterError("clustering.dendrogram=True: there is nothing to draw; set clustering.use=True too")
        names = _names(groups, params.output)
        summary = {"n_experiments": len(chosen), "n_reflections": int(counts[chosen].sum())}
        if len(names) == 1 and names[0][0] == "":
            combined, joined = parts.take(chosen, models=models)
            return ProgramResult(
                experiments=combined, reflections=joined, files=files, summary=summary,
                next_step=_next_step(combined, joined is not None, params.output),
            )  # fmt: skip
        for suffix, places in names:
            combined, joined = parts.take(places, models=models)
            files |= _writers(combined, joined, suffix, params.output)
        first = parts.take(names[0][1], models=models)[0]
        return ProgramResult(
            files=files, summary=summary | {"n_groups": len(names)},
            next_step=_next_step(first, table is not None, params.output, names[0][0]),
        )  # fmt: skip


def _named(experiments: Experiments) -> Experiments:
    """The experiments, all with an identifier."""
    if all(e.identifier for e in experiments):
        return experiments
    return Experiments(
        [
            e if e.identifier else replace(e, identifier=derived_identifier("combined", i, _source(e)))
            for i, e in enumerate(experiments)
        ]
    )


def _source(experiment: Any) -> str:
    imageset = experiment.imageset
    return "" if imageset is None else str(imageset.template or imageset.paths)


def _kept_rows(table: ReflectionTable, experiments: Experiments, params: Any, context: Any) -> np.ndarray | None:
    """Rows that are neither on images that are left out nor beyond the significance filter; None for all."""
    keep = np.ones(len(table), bool)
    ranges = excluded_images(params.exclude_images, len(experiments))
    if ranges:
        column = "xyzobs.px.value" if "xyzobs.px.value" in table else "xyzcal.px"
        keep = ~on_excluded_images(table, ranges, column)
        context.log.info("%d reflections on excluded images are left out", np.count_nonzero(~keep))
    if params.output.significance_filter.enable:
        within, tables = significance(table, params.output.significance_filter, d_spacings(table, experiments))
        for one in tables[:MAX_ROWS]:
            context.table(one)
        within |= table["id"] < 0
        context.log.info("The significance filter leaves out %d reflections", np.count_nonzero(keep & ~within))
        keep &= within
    return None if keep.all() else np.flatnonzero(keep)


def _holds_shoeboxes(table: ReflectionTable, name: str) -> bool:
    deferred = table.deferred(name)
    return isinstance(table[name], Shoeboxes) if deferred is None else deferred.outline() is not None


def _report(counts: np.ndarray, sources: list[str], context: Any) -> None:
    rows: list[list[Any]] = [[i, int(n)] for i, n in enumerate(counts[:MAX_ROWS])]
    if len(counts) > MAX_ROWS:
        rest = counts[MAX_ROWS:]
        rows.append([f"{MAX_ROWS} to {len(counts) - 1}", f"{rest.min()} to {rest.max()}"])
    context.table(Table("Combined", ["Experiment", "Number of reflections"], rows, "combined"))
    empty = np.flatnonzero(counts == 0).tolist()
    if empty:
        context.log.warning(
            "%d of %d experiments without reflections: %s. Give their reflection files too; identifiers in files of the same run tell which "
            "belong together",
            len(empty), len(counts),
            ", ".join(f"{i} ({sources[i] or 'no images'})" for i in empty[:5]) + (" and others" if len(empty) > 5 else ""),
        )  # fmt: skip


def _names(groups: list[tuple[str, list[int]]], output: Any) -> list[tuple[str, list[int]]]:
    """What is added to the names of the files of each group and batch, and the experiments in them."""
    found = []
    for suffix, places in groups:
        parts = batches(places, output.max_batch_size)
        width = max(3, len(str(len(parts) - 1)))
        numbered = output.max_batch_size is not None
        found += [(f"{suffix}_{k:0{width}d}" if numbered else suffix, part) for k, part in enumerate(parts)]
    return found


def _writers(
    experiments: Experiments, table: ReflectionTable | None, suffix: str, output: Any
) -> dict[str, Callable[[Path], None]]:
    """Writers of the files of a group."""
    path = output.experiments_filename
    files: dict[str, Callable[[Path], None]] = {
        str(path.with_stem(f"{path.stem}{suffix}")): partial(write_experiments, experiments)
    }
    path = output.reflections_filename
    if table is not None and path is not None:
        files[str(path.with_stem(f"{path.stem}{suffix}"))] = partial(write_reflections, table)
    return files


def _next_step(experiments: Experiments, with_reflections: bool, output: Any, suffix: str = "") -> str:
    """What a user would do with the result, or with the first of several."""
    names = [p and p.with_stem(p.stem + suffix) for p in (output.experiments_filename, output.reflections_filename)]
    if not with_reflections or names[1] is None:
        return f"spindle show {names[0]}"
    files = f"{names[0]} {names[1]}"
    if any(e.crystal is None for e in experiments):
        return f"spindle index {files}"
    if all(e.scaling_model is not None for e in experiments):
        return f"spindle scale {files}"
    return f"spindle refine {files}" if all(e.profile is None for e in experiments) else f"spindle symmetry {files}"
