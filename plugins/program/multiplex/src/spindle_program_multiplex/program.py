"""The program `multiplex`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import ParameterError, UserError
from spindle.models import Experiments
from spindle.report import DETAIL
from spindle.symmetry import chiral_symmorphic_group, patterson_group, space_group
from spindle.table import ReflectionTable
from spindle_lib_many_crystals import DATA, PROCESSING, Reduced, Reduction, Steps, settings_of, summary_of
from spindle_lib_merging import read_intensities, refuse_without_reference
from spindle_lib_pages import text_writer

from .analysis import alike, cell_groups, contributions, damage
from .clusters import UNLIMITED, Group, chosen_groups, groups_of
from .findings import Findings, set_table
from .inputs import Data, begin
from .params import MultiplexParams
from .record import record
from .report import cluster_page, page

__all__ = ["Multiplex"]


class Multiplex(Program):
    """Bring many integrated data sets together: one indexing, one scale, merged data, and the groups among them.

    Sets of another crystal form are left out, the others brought to one indexing (`cosym`) and scaled; the resolution limit and the space
    group are found and the data merged. Which sets are alike is shown in trees; groups of them are scaled and merged by themselves with
    output_clusters=True, and what lowers CC1/2 is left out with filtering.method=deltacchalf. The steps are those of the single programs.

        spindle multiplex */integrated.expt */integrated.refl
        spindle multiplex */integrated.expt */integrated.refl space_group=P3 output_clusters=True
        spindle multiplex */integrated.expt */integrated.refl filtering.method=deltacchalf dose=1,40
    """

    takes_files = False
    needs_columns = {"miller_index": "spindle integrate writes it"}
    Params = MultiplexParams

    @hookimpl
    def run(self, inputs: ProgramInputs, params: MultiplexParams, context: Any) -> ProgramResult:
        """Run the steps; see `spindle.contracts.program.ProgramSpec`."""
        _check(params)
        data = begin(inputs, params, context.log)
        context.log.info("%d of %d data sets", len(data), len(data.given))
        found = Findings(data)
        with Steps(context, not params.output.cleanup) as steps:
            reduction = Reduction(steps, params)
            reduction.check(data.experiments)
            data, found.cells = cell_groups(steps, data, params)
            data = self._one_indexing(steps, data, params, found)
            whole = reduction.reduce(
                "All data", data.experiments, data.table, f"{DATA}/scaled", "",
                group=lambda e, t: self._space_group(steps, e, t, params),
            )  # fmt: skip
            found.reduced.append(whole)
            data = found.data = data.replaced(whole.experiments, whole.table)
            found.alike = alike(steps, whole, params)
            if found.alike is not None:
                found.groups = groups_of(found.alike)
            found.contributions = contributions(steps, whole)
            found.damage = damage(steps, whole, params)
            if params.clustering.output_clusters:
                self._clusters(reduction, data, params, found)
            if params.filtering.method is not None:
                self._filter(reduction, data, params, found)
            found.steps, found.warnings = steps.table(), steps.warnings
            files = dict(steps.files)
        for reduced in found.reduced:
            files |= reduced.files
        if not params.output.cleanup:
            files |= _kept(data)
        return self._result(found, files, params, context)

    # -- parts of the work

    def _one_indexing(self, steps: Steps, data: Data, params: Any, found: Findings) -> Data:
        """All sets in one indexing, those that do not fit left out."""
        log = steps.context.log
        group = _known_group(params)
        if not params.symmetry.resolve_indexing_ambiguity or len(data) < 2:
            if params.symmetry.resolve_indexing_ambiguity:
                log.warning("One data set is left, so there is no indexing to compare")
            return self._as_given(steps, data, group)
        settings = settings_of(params, "symmetry.cosym.") | {
            "space_group": None if params.reference is not None else group, "reference": params.reference,
            "output.json": "cosym.json", "unit_cell_clustering.threshold": None,
        }  # fmt: skip
        result = steps.run("cosym", data.experiments, data.table, settings)
        numbers = found.cosym = steps.numbers(result, "cosym.json")
        found.cosym_tables = result.tables
        places = {e.identifier: place for e, place in zip(data.experiments, data.places, strict=True)}
        reasons = {int(i): reason for i, reason in numbers["left_out"].items()}
        identifiers = [e.identifier for e in data.experiments]
        for entry in numbers["data_sets"]:
            found.indexing[places[identifiers[entry["data_set"]]]] = entry
        assert result.experiments is not None and result.reflections is not None
        kept = data.only(reasons)
        if numbers["undecided"]:
            found.problems.append(f"the symmetry is not decided and the data are in P 1, since {numbers['undecided']}")
        return Data(result.experiments, result.reflections, kept.places, data.given, kept.left_out, data.notes)

    def _as_given(self, steps: Steps, data: Data, group: str | None) -> Data:
        """The sets in the group that they have, or that the user gives."""
        names = sorted({e.known_crystal.space_group.xhm() for e in data.experiments})
        if group is not None and names != [group]:
            result = steps.run("reindex", data.experiments, data.table, {"space_group": group})
            return data.replaced(result.experiments or data.experiments, result.reflections or data.table)
        if len(names) > 1:
            raise UserError(
                f"multiplex: the data sets are in different space groups, {', '.join(names)}; give space_group=, or leave "
                "symmetry.resolve_indexing_ambiguity=False away"
            )
        return data

    def _space_group(
        self, steps: Steps, experiments: Experiments, table: ReflectionTable, params: Any
    ) -> tuple[Experiments, ReflectionTable]:
        """Scaled data in the setting of the reference, or in the group that their absences tell."""
        if params.reference is not None and params.symmetry.resolve_indexing_ambiguity:
            return experiments, table  # cosym has followed it
        if params.reference is not None:
            result = steps.run(
                "reindex", experiments, table, {"change_of_basis_op": "Auto", "reference.file": params.reference}
            )
        elif params.symmetry.space_group is not None:
            return experiments, table
        else:
            settings = {
                "laue_group": None, "relative_length_tolerance": None, "absolute_angle_tolerance": None,
                "systematic_absences.small_molecule": params.small_molecule,
                **{n: getattr(params.symmetry.cosym, n) for n in ("best_monoclinic_beta", "lattice_symmetry_max_delta")},
            }  # fmt: skip
            try:
                result = steps.run("symmetry", experiments, table, settings)
            except UserError as error:
                steps.context.log.warning("Absences could not be looked at: %s", error)
                return experiments, table
        return result.experiments or experiments, result.reflections or table

    def _clusters(self, reduction: Reduction, data: Data, params: Any, found: Findings) -> None:
        log = reduction.context.log
        if found.alike is None:
            log.warning("There are no groups to be written: the data sets were not compared")
            return
        groups, pairs = chosen_groups(found.groups, len(found.alike["datasets"]), params.clustering)
        for first, second in pairs:
            log.info("%s and %s have no data set in common", first.name, second.name)
        if not groups:
            what = "distinct groups" if params.clustering.hierarchical.distinct_clusters else "group"
            log.warning(
                "No %s passes the limits of clustering (min_cluster_size, min_completeness, min_multiplicity, heights): none is written",
                what,
            )
        for group in groups:
            if (reduced := _reduced_group(reduction, data, group, log)) is not None:
                found.reduced.append(reduced)

    def _filter(self, reduction: Reduction, data: Data, params: Any, found: Findings) -> None:
        images = params.filtering.deltacchalf.mode == "image_group"
        if len(data) < 2 and not images:
            reduction.context.log.warning(
                "One data set is left, which cannot be judged as a whole: nothing is filtered"
            )
            return
        found.reduced.append(
            reduction.reduce("Filtered", data.experiments, data.table, f"{DATA}/filtered", "filtered", filtering=True)
        )

    def _result(self, found: Findings, files: dict[str, Any], params: Any, context: Any) -> ProgramResult:
        context.table(set_table(found))
        context.table(summary_of(found.reduced))
        context.table(found.steps)
        for step, message in found.warnings:
            context.log.info("Warning of %s: %s", step, message, extra=DETAIL)  # the screen has shown it
        for mood, text in found.verdicts():
            (context.log.info if mood == "good" else context.log.warning)("%s", text)
        if params.output.json is not None:
            files[str(params.output.json)] = text_writer(record(found))
        if params.output.html is not None:
            files[str(params.output.html)] = text_writer(page(found, params))
        if params.output.cluster_html and found.alike is not None:
            files["spindle.multiplex_clusters.html"] = text_writer(cluster_page(found))
        whole = found.reduced[0]
        summary: dict[str, Any] = {
            "n_data_sets": len(found.data), "n_left_out": len(found.data.left_out),
            "n_cell_groups": len(found.cells.groups) if found.cells else 1, **whole.summary,
            "n_clusters_written": sum(r.name not in ("All data", "Filtered") for r in found.reduced),
        }  # fmt: skip
        if found.problems:
            summary["problem"] = found.problems[0]
        return ProgramResult(summary=summary, files=files, next_step=found.next_step(params))


def _check(params: Any) -> None:
    """Refuse what contradicts itself."""
    refuse_without_reference(params.resolution)
    correlated = params.resolution.reference
    if correlated is not None and not Path(correlated).is_file():
        raise ParameterError(
            f"resolution.reference={correlated}: no such file; give an MTZ file of merged data, or coordinates"
        )
    if params.symmetry.laue_group is not None and params.symmetry.space_group is not None:
        raise ParameterError("symmetry.laue_group and symmetry.space_group: give one of them")
    tree = params.clustering.hierarchical
    both = len(tree.method) > 1 and "hierarchical" in params.clustering.method
    common = tree.max_cluster_height not in (None, UNLIMITED)
    if both and common and UNLIMITED in (tree.max_cluster_height_cc, tree.max_cluster_height_cos):
        raise ParameterError(
            "clustering.hierarchical.max_cluster_height: heights of the two trees mean different things; give max_cluster_height_cc and "
            "max_cluster_height_cos"
        )
    if params.reference is not None:
        if params.symmetry.laue_group is not None:
            raise ParameterError(
                f"symmetry.laue_group={params.symmetry.laue_group}: the reference {params.reference} tells the group; give one of them"
            )
        if not Path(params.reference).is_file():
            raise ParameterError(
                f"reference={params.reference}: no such file; give intensities (MTZ, mmCIF) or coordinates"
            )
        group = _group_of_reference(params)
        wanted = params.symmetry.space_group
        if wanted is not None and group is not None and space_group(str(wanted)).number != group.number:
            raise ParameterError(
                f"symmetry.space_group={wanted}: the reference {params.reference} is in {group.xhm()}; give one of them"
            )


def _group_of_reference(params: Any) -> Any:
    """The space group of the reference's intensities; None of coordinates, which cosym reads."""
    try:
        return read_intensities(Path(params.reference), "reference").group
    except UserError:
        return None


def _known_group(params: Any) -> str | None:
    """The group that the user, or the reference, tells."""
    if params.symmetry.space_group is not None:
        return space_group(str(params.symmetry.space_group)).xhm()
    if params.reference is not None:
        group = _group_of_reference(params)
        return None if group is None else group.xhm()
    if params.symmetry.laue_group is not None:
        return chiral_symmorphic_group(patterson_group(space_group(str(params.symmetry.laue_group)))).xhm()
    return None


def _reduced_group(reduction: Reduction, data: Data, group: Group, log: Any) -> Reduced | None:
    """A group by itself; None, with a warning, when it cannot be scaled."""
    outside = {i: "" for i, e in enumerate(data.experiments) if e.identifier not in group.members}
    some = data.only(outside)
    try:
        return reduction.reduce(
            group.name.replace("_", " "),
            some.experiments,
            some.table,
            f"{DATA}/{group.name}/{group.name}_scaled",
            group.name,
        )
    except UserError as error:
        log.warning("%s (%d data sets) could not be scaled and is left out: %s", group.name, len(some), error)
        return None


def _kept(data: Data) -> dict[str, Any]:
    """The data as they are after scaling, for another run."""
    from functools import partial

    from spindle.files import write_experiments, write_reflections

    return {
        f"{PROCESSING}/models.expt": partial(write_experiments, data.experiments),
        f"{PROCESSING}/observations.refl": partial(write_reflections, data.table),
    }
