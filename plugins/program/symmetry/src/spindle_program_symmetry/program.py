"""The program `symmetry`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gemmi
import numpy as np

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import UserError
from spindle.models import Experiments
from spindle.params import Auto, Bool, Choice, Float, Int, PathParam, SpaceGroup, Str
from spindle.params import Params as ParamsBase
from spindle.report import DETAIL, Table, json_text
from spindle.symmetry import ChangeOfBasis, patterson_group, space_group
from spindle_lib_image_ranges import params as ranges
from spindle_lib_merging import merge_equivalents
from spindle_lib_pages import text_writer
from spindle_lib_reindexing import change_experiments, change_indices
from spindle_lib_symmetry_analysis.absences import (
    ENANTIOMORPHS,
    TABLES,
    score_axes,
    score_space_groups,
    screw_axis_doubts,
)
from spindle_lib_symmetry_analysis.laue import stars
from spindle_lib_symmetry_analysis.prepare import prepare
from spindle_lib_twinning.diagnosis import Diagnosis

from .agreement import agreements, rounded
from .agreement import rows as agreement_rows
from .axis_tables import axis_tables, warn_of_weak_axes
from .citations import CITATIONS
from .decision import MIN_PROBABILITY, Decision, decide, is_known
from .known_group import contradiction_in_absences, contradiction_in_laue_group, describe, likelihood_of
from .report import page
from .small_molecules import hint, small_molecule_group
from .support import diagnose_decision, r_merges, too_few_differences

MAX_ROWS = 50
#: Mates of a twin correlate like equivalents: a group under which intensities look twinned by no law has at most even chances.
EVEN = 0.5


class SymmetryProgram(Program):
    """Find the Laue group and the space group of integrated (or scaled) data.

    Every rotation that the lattice allows is scored by the correlation of the intensities that it would make equal;
    every subgroup of the lattice symmetry gets a probability from the rotations inside and outside it. Then the axial
    reflections tell screw axes.

        spindle symmetry integrated.expt integrated.refl
        spindle symmetry integrated.expt integrated.refl laue_group=P4/mmm
    """

    citations = CITATIONS

    takes_files = False
    needs_columns = {"miller_index": "spindle index writes it"}

    class Params(ParamsBase):
        exclude_images = ranges.exclude_images()
        d_min = Float(Auto, none=True, min=0, units="angstrom",
                      help="Resolution limit of the analysis; Auto ends where <I>/<sigma> and CC1/2 fall below the two "
                           "limits below.")  # fmt: skip
        min_i_mean_over_sigma_mean = Float(4.0, min=0, none=True, help="Limit of <I>/<sigma> for d_min=Auto.")
        min_cc_half = Float(0.6, min=0, max=1, none=True, help="Limit of CC1/2 for d_min=Auto.")
        normalisation = Choice(["kernel", "quasi", "ml_iso", "ml_aniso"], default="ml_aniso",
                               help="How the fall-off with resolution is taken out of the intensities.")  # fmt: skip
        lattice_group = SpaceGroup(
            None, none=True, help="Symmetry of the lattice to take instead of the one found from the cell."
        )
        seed = Int(230, min=0, none=True, help="Seed of the random pairs that say how correlations scatter.")
        lattice_symmetry_max_delta = Float(2.0, min=0, units="degrees",
                                           help="Tolerance on the angle between the direct and the reciprocal axis of "
                                                "a two-fold.")  # fmt: skip
        relative_length_tolerance = Float(
            0.05, none=True, help="Cells may differ from the median cell by this fraction of a length."
        )
        absolute_angle_tolerance = Float(
            2.0, none=True, units="degrees", help="Cells may differ from the median cell by this angle."
        )
        partiality_threshold = Float(0.4, none=True, help="Leave out reflections recorded to a smaller fraction.")
        laue_group = SpaceGroup(
            Auto, none=True, help="Laue group to take; None keeps the present one and looks at absences only."
        )
        change_of_basis_op = Str(None, none=True, help="Operator to apply instead of the one found; needs laue_group.")
        best_monoclinic_beta = Bool(
            True, help="Take I 1 2 1 rather than C 1 2 1 where its beta is closer to 90 degrees."
        )

        class systematic_absences(ParamsBase):
            """Screw axes from axial reflections."""

            check = Bool(True, help="Look for screw axes.")
            small_molecule = Bool(
                False,
                help="Consider glide planes and the centre of inversion as well: all 230 space groups, by everything that is absent and by "
                "<|E^2-1|>.",
            )
            method = Choice(["direct", "fourier"], default="direct", help="How axial reflections are judged.")
            significance_level = Choice(["0.95", "0.975", "0.99"], default="0.95", help="How sure an axis must be.")

        class output(ParamsBase):
            """Output files."""

            log = PathParam("spindle.symmetry.log", none=True, help="Log file.")
            experiments = PathParam("symmetrized.expt", none=True, help="Experiments in the space group found.")
            reflections = PathParam("symmetrized.refl", none=True, help="Reflections with indices in its setting.")
            json = PathParam("spindle.symmetry_scores.json", none=True, help="All scores.")
            html = PathParam("spindle.symmetry.html", none=True, help="Page with tables and plots.")

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Params, context: Any) -> ProgramResult:
        """Determine the symmetry; see `spindle.contracts.program.ProgramSpec`."""
        experiments = inputs.experiments
        if experiments is None or len(inputs.reflections) != 1:
            raise UserError(
                "symmetry: give one experiment file and one reflection file: spindle symmetry integrated.expt "
                "integrated.refl"
            )
        if params.change_of_basis_op is not None and (params.laue_group is Auto or params.laue_group is None):
            raise UserError(
                "symmetry: change_of_basis_op= needs laue_group=, the group in the setting that it leads to"
            )
        table = inputs.reflections[0]
        rng = np.random.default_rng(params.seed)
        decision = decide(prepare(experiments, table, params, context), experiments, params, rng, context.log)
        scores: dict[str, Any] = {}
        if decision.analysis is not None:
            self._report(decision, context)
            scores = decision.analysis.to_dict()
        group, operators = decision.group, decision.operators
        changed = change_experiments(experiments, operators, group)
        indices = change_indices(table, operators)
        if lost := indices.n_left_out + indices.n_unindexed:
            context.log.warning("%d reflections have no whole index in the new setting and are left out", lost)
        problems = self._doubts(decision, context)
        contradictions: list[str] = []
        if params.systematic_absences.check and not decision.keeps_group:
            given = experiments[0].crystal.space_group  # type: ignore[union-attr]
            group = self._absences(decision, params, context, scores, given, changed)
            changed = _with_group(changed, group)
        is_given = decision.keeps_group and is_known(changed) and not decision.undecided
        if is_given:
            contradictions = self._check_known(decision, group, changed, params, context)
            problems += [f"the data contradict the given space group {group.xhm()}"] if contradictions else []
        problems += self._agreement(decision, context, scores)
        cell = np.mean([e.crystal.cell for e in changed], axis=0)  # type: ignore[union-attr]
        diagnosis = None
        if not decision.undecided and params.laue_group is not None:
            said, diagnosis = self._statistics(decision, cell, group, context, scores)
            problems += said
        self._say_operators(operators, context)
        context.log.info("Space group %s, cell %s", group.xhm(), " ".join(f"{v:.4f}" for v in cell))
        files: dict[str, Any] = {}
        if params.output.json is not None:
            text = json_text(scores, 2)
            files[str(params.output.json)] = text_writer(text)
        if params.output.html is not None:
            data = decision.data
            merged = merge_equivalents(_indices(decision), data.intensity, data.variance, decision.group)
            made = page(decision, group, cell, list(context.tables), problems, diagnosis, merged, scores)
            files[str(params.output.html)] = text_writer(made)
        summary = {
            "space_group": group.xhm(), "unit_cell": [round(float(v), 4) for v in cell],
            "d_min": round(float(decision.data.d_min), 3), "space_group_is_given": is_given,
        }  # fmt: skip
        if "laue_group_probability" in scores and not decision.undecided:
            known = decision.probability
            summary["probability"] = round(scores["laue_group_probability"] if known is None else known, 3)
        if decision.undecided:
            summary["undecided"] = decision.undecided
        if contradictions:
            summary["contradiction"] = "; ".join(contradictions)
        if "screw_axes_in_doubt" in scores:
            summary["screw_axes"] = "; ".join(scores["screw_axes_in_doubt"])
        if problems:
            summary["problem"] = problems[0]
        following = _next_step(group, params.output)
        return ProgramResult(
            experiments=changed, reflections=indices.table, summary=summary, files=files,
            next_step=f"first look into this: {problems[0]}; then {following}" if problems else following,
        )  # fmt: skip

    def _report(self, decision: Decision, context: Any) -> None:
        analysis = decision.analysis
        assert analysis is not None
        context.log.info(
            "CC of %d unrelated pairs: %.3f; sd(CC) = %.3f / sqrt(N); expected CC of a true symmetry %.3f, from "
            "identity %.3f",
            analysis.n_unrelated, analysis.cc_unrelated, analysis.spread, analysis.expected_cc, analysis.cc_true,
            extra=DETAIL,
        )  # fmt: skip
        rows = [
            [round(e.likelihood, 3), round(e.z_cc, 2), round(e.cc, 3), e.n, stars(e.likelihood, (0.9, 0.7, 0.5)),
             f"{e.order} |({', '.join(str(v) for v in e.axis)})"] for e in analysis.elements
        ]  # fmt: skip
        context.table(
            Table(
                "Symmetry elements", ["Likelihood", "Z-CC", "CC", "N", "", "Operator"], rows, "symmetry_elements", True
            )
        )
        agreement = r_merges(decision.data, analysis.subgroups)
        rows = [
            [patterson_group(s.subgroup.group).hm, stars(s.likelihood, (0.8, 0.6, 0.4)), round(s.likelihood, 3),
             round(s.z_net, 2), round(s.z_for, 2), round(s.z_against, 2), round(s.cc_for, 3), round(s.cc_against, 3),
             rounded(r), round(s.subgroup.max_angular_difference, 2), s.subgroup.to_best.as_abc()]
            for s, r in zip(analysis.subgroups, agreement, strict=True)
        ]  # fmt: skip
        headers = ["Patterson group", "", "Likelihood", "NetZcc", "Zcc+", "Zcc-", "CC", "CC-", "Rmerge", "Delta (deg)",
                   "Reindex operator"]  # fmt: skip
        context.table(Table("Subgroups of the lattice symmetry", headers, rows, "symmetry_subgroups"))

    def _doubts(self, decision: Decision, context: Any) -> list[str]:
        """Warn of a choice that is not sure; what is wrong in short."""
        if not decision.undecided:
            return []
        context.log.warning(
            "The symmetry is not decided: %s. The data may be too few or too weak to decide, twinned or wrongly indexed. "
            "They stay in P 1; look at the table of probabilities, and choose a group with laue_group= if you know better",
            decision.undecided,
        )  # fmt: skip
        return [f"the symmetry is not decided and the data are in P 1, since {decision.undecided}"]

    def _check_known(
        self, decision: Decision, group: gemmi.SpaceGroup, experiments: Experiments, params: Params, context: Any
    ) -> list[str]:
        """What the intensities say about the space group that the user gave, which is kept."""
        found = []
        analysis = decision.analysis
        if analysis is not None:
            likelihood = likelihood_of(analysis, decision.rotations)
            best = analysis.subgroups[0]
            against = contradiction_in_laue_group(analysis, decision.rotations)
            name = patterson_group(best.subgroup.group).hm
            if np.isnan(likelihood):
                found.append(
                    "the lattice does not have its symmetry within lattice_symmetry_max_delta="
                    f"{params.lattice_symmetry_max_delta:g} deg"
                )
            elif against and likelihood < MIN_PROBABILITY:
                found.append(
                    f"its Laue group has a probability of {likelihood:.2f} (best: {name} with {best.likelihood:.2f}): "
                    f"{against}"
                )
            elif len(best.subgroup.rotations) > len(decision.rotations) and best.likelihood > MIN_PROBABILITY:
                context.log.info(
                    "The intensities have more symmetry than the space group %s that was given: %s has a probability "
                    "of %.2f, that of the given group %.2f. The given one is kept; laue_group= takes another",
                    group.xhm(), name, best.likelihood, likelihood,
                )  # fmt: skip
        check = params.systematic_absences.check
        reasons, remedy = contradiction_in_absences(
            decision, _indices(decision), group, experiments, check, context.log
        )
        found += reasons
        for reason in found:
            context.log.warning(
                "The data contradict the space group %s that was given: %s. It is kept; %s",
                group.xhm(), reason, remedy or "laue_group= takes another",
            )  # fmt: skip
        if not found:
            context.log.info("The space group %s that was given is kept, and so is its setting", group.xhm())
        return found

    def _agreement(self, decision: Decision, context: Any, scores: dict[str, Any]) -> list[str]:
        """How the experiments agree with each other; a warning names those that do not."""
        if decision.data.n_experiments < 2:
            return []
        found = agreements(decision.data, decision.rotations)
        headers = ["Experiment", "Observations", "Rmerge within", "Rmerge with others", "CC with others", "Common",
                   "Operator"]  # fmt: skip
        rows = agreement_rows(found, decision.operators)
        context.table(
            Table("Agreement of the experiments (normalised intensities)", headers, rows[:MAX_ROWS], "agreement")
        )
        cc_true = decision.analysis.cc_true if decision.analysis is not None else 1.0
        bad = [i for i, a in enumerate(found) if a.disagrees(cc_true)]
        scores["agreement"] = [
            {"experiment": i, "r_within": _finite(a.r_within), "r_between": _finite(a.r_between),
             "cc_between": _finite(a.cc_between), "n_common": a.n_common} for i, a in enumerate(found)
        ]  # fmt: skip
        for i in bad[: MAX_ROWS if len(found) > 2 else 1]:
            a = found[i]
            context.log.warning(
                "Experiment %d does not agree with the others: Rmerge %s with them, %s within itself; CC %s of "
                "%d common reflections. It may be of another crystal form, twinned or wrongly indexed",
                i, rounded(a.r_between), rounded(a.r_within), rounded(a.cc_between), a.n_common,
            )  # fmt: skip
        names = ", ".join(str(i) for i in bad[:20])
        return [f"experiment(s) {names} do not agree with the others"] if bad else []

    def _statistics(
        self, decision: Decision, cell: np.ndarray, group: gemmi.SpaceGroup, context: Any, scores: dict[str, Any]
    ) -> tuple[list[str], Diagnosis]:
        """Twinning and pseudo-translation by the statistics of intensities; what is wrong in short."""
        for step in decision.lowered:
            context.log.warning(
                "The symmetry of the intensities is lower than their correlations suggest: %s", step.sentence
            )
        found = diagnose_decision(decision.data, decision.rotations, _indices(decision), cell, group)
        for table in found.tables():
            context.table(table.as_detail())
        few = too_few_differences(decision, found)
        for sentence in filter(None, [*found.warnings(), few]):
            context.log.warning("%s", sentence)
        scores["intensity_statistics"] = found.as_dict()
        scores["lowered_from"] = [patterson_group(s.suggested.group).hm for s in decision.lowered]
        if found.is_twinned and found.law is None:
            decision.probability = decision.probability and min(decision.probability, EVEN)
            of = ", of too few observations" if few else ""
            return [f"the intensities look twinned, and the Laue group may be too high{of}"], found
        missed = found.translation is not None and found.translation.is_lattice_vector
        return (["a centring was missed, or the cell is too large"] if missed else []), found

    def _say_operators(self, operators: list[ChangeOfBasis], context: Any) -> None:
        for text, members in describe(operators)[:MAX_ROWS]:
            if len(members) == len(operators):
                context.log.info("Change of basis of all experiments: %s", text)
            else:
                context.log.info("Change of basis of experiment(s) %s: %s", ", ".join(str(i) for i in members), text)

    def _absences(
        self, decision: Decision, params: Params, context: Any, scores: dict[str, Any], given: gemmi.SpaceGroup,
        changed: Experiments,
    ) -> gemmi.SpaceGroup:  # fmt: skip
        """The space group after a look at screw axes, or at everything that is absent."""
        if params.systematic_absences.small_molecule:
            return small_molecule_group(decision, _indices(decision), changed, context, scores)
        group, data = decision.group, decision.data
        hint(changed, context.log)
        patterson = patterson_group(group)
        p = params.systematic_absences
        if patterson.hm not in TABLES:
            context.log.info("Space groups of the Laue group %s cannot be told apart by screw axes", patterson.hm)
            return group
        merged = merge_equivalents(_indices(decision), data.intensity, data.variance, patterson)
        axes = score_axes(patterson.hm, merged.hkl, merged.intensity, merged.sigma, p.method, p.significance_level)
        groups = score_space_groups(patterson.hm, axes)
        for table in axis_tables(axes, groups):
            context.table(table)
        scores["space_group_scores"] = dict(groups)
        symbol, best = max(groups, key=lambda g: g[1])
        undecided = [a.axis.name for a in axes if not a.n_present or not a.n_absent]
        if undecided:
            context.log.warning(
                "No axial reflections tell whether there is a screw axis %s: the sweep does not cover that axis; the "
                "space group may be a screw-axis relative of the one written", " or ".join(undecided),
            )  # fmt: skip
        mirror = {v: k for k, v in ENANTIOMORPHS.items()}
        candidates = [g for g, _ in groups]
        if mirror.get(given.hm) == symbol or (undecided and mirror.get(given.hm, given.hm) in candidates):
            context.log.info(
                "The space group %s that the data came with agrees with the intensities and is kept", given.xhm()
            )
            return given
        electrons = any(e.beam.probe == "electron" for e in changed)
        if doubts := screw_axis_doubts(patterson.hm, symbol, axes, p.significance_level, electrons):
            scores["screw_axes_in_doubt"] = doubts
            warn_of_weak_axes(doubts, groups, context.log)
        if symbol in ENANTIOMORPHS:
            other = ENANTIOMORPHS[symbol]
            context.log.info("%s and %s cannot be told apart by intensities; %s is written", symbol, other, symbol)
        return space_group(symbol) if best > 0 else group


def _indices(decision: Decision) -> np.ndarray:
    """(n, 3) indices of the observations in the setting of the decision."""
    data = decision.data
    hkl = np.empty_like(data.original_hkl)
    for i, operator in enumerate(decision.operators):
        mine = data.experiment == i
        hkl[mine] = operator.apply_to_indices(data.original_hkl[mine])[0]
    return hkl


def _with_group(experiments: Experiments, group: gemmi.SpaceGroup) -> Experiments:
    """Experiments in a space group; shared crystals stay shared."""
    renamed = {id(crystal): crystal.with_space_group(group) for crystal in experiments.unique("crystal")}
    return Experiments([e if e.crystal is None else replace(e, crystal=renamed[id(e.crystal)]) for e in experiments])


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _next_step(group: gemmi.SpaceGroup, output: Any) -> str:
    """The command after this one: models gain by the constraints of any group that is not triclinic, where there are the spots."""
    if group.crystal_system_str() == "triclinic" or not Path("refined.refl").is_file():
        return f"spindle scale {output.experiments} {output.reflections}"
    again = Path(output.experiments or "symmetrized.expt").with_name("refined_in_symmetry.expt")
    return (
        f"spindle refine {output.experiments} refined.refl output.experiments={again} "
        f"output.reflections={again.with_suffix('.refl')} output.log={again.with_name('spindle.refine_in_symmetry.log')}"
    )
