"""The program `cosym`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from spindle.contracts import Citation, Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import UserError
from spindle.params import Auto
from spindle.report import Table, json_text
from spindle.symmetry import patterson_group
from spindle_lib_data_set_correlations.coordinates import Coordinates, find_coordinates
from spindle_lib_data_set_correlations.pairs import correlations_of_pairs, weights_of
from spindle_lib_pages import text_writer
from spindle_lib_reindexing import change_experiments, change_indices
from spindle_lib_selection.parts import Parts, join
from spindle_lib_symmetry_analysis.alignment import cosets, observed
from spindle_lib_symmetry_analysis.prepare import Prepared, cut, prepare

from .decision import Decision, decide, known_group
from .indexing import Indexing, choose_indexing
from .outputs import page, record
from .params import CosymParams
from .reference import follow_reference
from .sets import Choice, choose_sets

MAX_ROWS = 100
#: A set whose best and second-best indexing differ by less in the cosine is named.
LEAST_MARGIN = 0.1


class Cosym(Program):
    """Find the symmetry of many crystals that were indexed by themselves, and bring them to one indexing.

    The intensities of each pair of data sets are correlated under every rotation of the lattice. Vectors, one for each set and
    rotation, are placed so that their scalar products are these correlations: those of one indexing point into one direction, and
    rotations that are symmetries of the intensities do not change the direction. Sets of another crystal form, of another cell or
    with too few reflections are left out.

        spindle cosym */integrated.expt */integrated.refl
        spindle cosym integrated.expt integrated.refl space_group=P3
    """

    citations = (
        Citation(
            "Brehm, W. & Diederichs, K.",
            2014,
            "Breaking the indexing ambiguity in serial crystallography",
            "Acta Cryst. D",
            "70",
            "101-109",
            "10.1107/S1399004713025431",
        ),
        Citation(
            "Gildea, R. J. & Winter, G.",
            2018,
            "Determination of Patterson group symmetry from sparse multi-crystal data sets in the presence of an indexing ambiguity",
            "Acta Cryst. D",
            "74",
            "405-410",
            "10.1107/S2059798318002978",
        ),
    )

    takes_files = False
    needs_columns = {"miller_index": "spindle integrate writes it"}
    Params = CosymParams

    @hookimpl
    def run(self, inputs: ProgramInputs, params: CosymParams, context: Any) -> ProgramResult:
        """Correlate, place, decide; see `spindle.contracts.program.ProgramSpec`."""
        if not inputs.experiments or not inputs.reflections:
            raise UserError(
                "cosym: give the experiments and reflections of several integrated data sets: spindle cosym "
                "1/integrated.expt 2/integrated.expt 1/integrated.refl 2/integrated.refl"
            )
        table = join(inputs.reflections)
        assert table is not None
        choice = choose_sets(inputs.experiments, table, params, context)
        experiments, table = Parts(inputs.experiments, table).take(choice.kept)
        assert table is not None
        data = prepare(experiments, table, params, context)
        known = known_group(data, experiments, params)
        options = known.options if known is not None else cosets(data.rotations, [np.eye(3, dtype=np.int64)])
        if known is not None:
            data = data.turned(known.first)
        data = cut(data, params, context.log)
        self._check(data, choice)
        rows = [np.flatnonzero(data.keep & (data.experiment == i)) for i in range(data.n_experiments)]
        sets = [observed(data.hkl[r], data.normalised[r], data.normalised_sigma[r]) for r in rows]
        group = known.rotations if known is not None else [np.eye(3, dtype=np.int64)]
        context.log.info("%d data sets, each under %d indexings of the lattice", len(sets), len(options))
        pairs = correlations_of_pairs(
            sets, options, group, context.executor, params.min_pairs or 1, params.cc_weights == "sigma"
        )
        weights = weights_of(pairs, None if params.weights == "None" else params.weights)
        alone = _alone(weights)
        if len(sets) > 1 and alone.any() and not alone.all():
            context.log.warning(
                "Data set(s) %s share too few reflections with any other to tell their indexing: they stay as they are",
                ", ".join(str(choice.kept[i]) for i in np.flatnonzero(alone)[:20]),
            )
        if len(sets) > 1 and alone.all():
            raise UserError(
                f"cosym: no two of the {len(sets)} data sets share {params.min_pairs} reflections, so nothing can be told of "
                "their indexing; take sets of more images, or set d_min=None and a smaller min_pairs"
            )
        rng = np.random.default_rng(params.seed)
        dimension = None if params.dimensions in (Auto, None) else int(params.dimensions)
        limits = params.minimization
        found = find_coordinates(pairs, weights, dimension, rng, limits.max_iterations, limits.max_calls)
        context.log.info("The vectors have %d dimensions", found.vectors.shape[2])
        indexing = choose_indexing(found.vectors, pairs)
        decision = decide(data, known, indexing, pairs, found.vectors, params)
        if params.reference is not None:
            decision = follow_reference(decision, experiments, table, params, context)
        self._report(decision, indexing, found, choice, context)
        changed = change_experiments(experiments, decision.operators, decision.group)
        indices = change_indices(table, decision.operators)
        return self._result(changed, indices, decision, indexing, found, pairs, choice, params, context)

    def _check(self, data: Prepared, choice: Choice) -> None:
        counts = np.bincount(data.experiment[data.keep], minlength=data.n_experiments)
        if not counts.any():
            raise UserError(
                f"cosym: none of the {len(choice.kept)} data sets has a reflection that is fit for the analysis; look at them with "
                "spindle show, or set d_min=None and partiality_threshold=None"
            )

    def _report(self, decision: Decision, indexing: Indexing, found: Coordinates, choice: Choice, context: Any) -> None:
        for table in decision.tables():
            context.table(table)
        context.table(_set_table(decision, indexing, found, choice.kept)[0])
        for text, members in decision.by_operator(choice.kept):
            shown = ", ".join(map(str, members[:20])) + (" ..." if len(members) > 20 else "")
            context.log.info("Change of basis of %d data set(s) (%s): %s", len(members), shown, text)
        if decision.undecided:
            context.log.warning(
                "The symmetry is not decided: %s. The sets are in one indexing, in P 1; give space_group= if you know it",
                decision.undecided,
            )
        if unsure := [choice.kept[i] for i in np.flatnonzero(decision.margin < LEAST_MARGIN)]:
            context.log.warning(
                "Two indexings fit nearly equally well for data set(s) %s: too few reflections are shared with the others, or the "
                "crystals are twinned. Merged with the others they may be wrong",
                ", ".join(map(str, unsure[:20])),
            )

    def _result(
        self, experiments: Any, indices: Any, decision: Decision, indexing: Indexing, found: Coordinates, pairs: Any, choice: Choice,
        params: CosymParams, context: Any,
    ) -> ProgramResult:  # fmt: skip
        if lost := indices.n_left_out + indices.n_unindexed:
            context.log.warning("%d reflections have no whole index in the new setting and are left out", lost)
        cell = np.mean([e.crystal.cell for e in experiments], axis=0)
        context.log.info("Space group %s, mean cell %s", decision.group.xhm(), " ".join(f"{v:.4f}" for v in cell))
        files: dict[str, Callable[[Path], None]] = {}
        content = record(decision, indexing, found, pairs, choice)
        if params.output.json is not None:
            files[str(params.output.json)] = text_writer(json_text(content, 1) + "\n")
        if params.output.html is not None:
            tables = [*decision.tables(), *_set_table(decision, indexing, found, choice.kept, None), *choice.tables]
            files[str(params.output.html)] = text_writer(page(decision, indexing, found, pairs, choice, tables, params))
        unsure = int(np.count_nonzero(decision.margin < LEAST_MARGIN))
        summary: dict[str, Any] = {
            "space_group": decision.group.xhm(), "unit_cell": [round(float(v), 4) for v in cell],
            "n_data_sets": len(choice.kept), "n_left_out": len(choice.reasons), "dimensions": found.vectors.shape[2],
            "n_unsure": unsure,
        }  # fmt: skip
        if decision.probability is not None:
            summary["probability"] = round(decision.probability, 3)
        scaling = "spindle scale_stills" if all(e.is_still for e in experiments) else "spindle scale"
        following = f"{scaling} {params.output.experiments} {params.output.reflections}"
        if decision.undecided:
            summary["problem"] = decision.undecided
            following = f"the symmetry is not decided, since {decision.undecided}; cosym again with space_group=, then {following}"
        elif params.space_group is None and params.reference is None and patterson_group(decision.group).hm != "P -1":
            following = (
                f"spindle symmetry {params.output.experiments} {params.output.reflections} laue_group=None (screw axes), "
                f"then {scaling}"
            )
        return ProgramResult(
            experiments=experiments, reflections=indices.table, files=files, summary=summary, next_step=following
        )


def _alone(weights: np.ndarray) -> np.ndarray:
    """(n_sets,) bool: data sets without a known correlation with another one."""
    others = weights.sum(axis=0)
    np.fill_diagonal(others, 0.0)
    return np.asarray(others.sum(axis=1) + others.sum(axis=0) == 0)


def _set_table(
    decision: Decision, indexing: Indexing, found: Coordinates, names: list[int], most: int | None = MAX_ROWS
) -> list[Table]:
    rows = [
        [names[i], round(float(found.lengths[:, i].mean()), 3), round(float(indexing.cosine[i]), 3),
         round(float(decision.margin[i]), 3) if np.isfinite(decision.margin[i]) else None, decision.operators[i].as_abc()]
        for i in range(len(names))
    ]  # fmt: skip
    headers = ["Data set", "Length of vector", "Cosine with the mean", "Lead over the next indexing", "Change of basis"]
    return [Table("Data sets", headers, rows[:most], "data_sets")]
