"""Stills: integrated by blocks of images, each block a task; a lattice that fails is left out and named."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from spindle.errors import UserError
from spindle.execution import RunContext
from spindle.models import Experiment, Experiments
from spindle.prediction import predict_stills_for_indexed
from spindle.report import Table
from spindle.table import Flag, ReflectionTable
from spindle_lib_spots.reference import check_distance, split_reference

from .absorption import correct_absorption
from .images import image_groups
from .passes import Integrator
from .preparation import prepare, with_profiles

__all__ = ["Stills", "integrate_stills", "refuse_mixture", "stills_table"]

IMAGES_PER_BLOCK = 10  # results do not depend on the number of workers, blocks on the images alone
MOST_SHOWN = 200  # lines
BACKGROUND = "glm"  # where Auto chooses
_quiet = logging.getLogger("spindle.integrate.stills")


@dataclass(frozen=True)
class Block:
    """Some stills.

    Attributes
    ----------
    numbers : (k,) int64
        Of the experiments in the run.
    experiments : Experiments
    reference : ReflectionTable or None
        Their spots; id from 0.
    excluded : list of set of int
        Array indices that each leaves out.
    """

    numbers: np.ndarray
    experiments: Experiments
    reference: ReflectionTable | None
    excluded: list[set[int]]

    def __repr__(self) -> str:
        return f"stills {self.numbers[0]} to {self.numbers[-1]}"


@dataclass
class Stills:
    """What came of some stills.

    Attributes
    ----------
    experiments : Experiments
        Those that were integrated, with profile models.
    numbers : (k,) int64
        Their numbers among those given.
    table, rubbish, debug : ReflectionTable or None
        Reflections, spots that were not used, and kept shoeboxes.
    failed : dict of int to str
        Why others were not, by number.
    tables : list of Table
    lost : list
        Lost images.
    """

    experiments: Experiments
    numbers: np.ndarray
    table: ReflectionTable | None = None
    rubbish: ReflectionTable | None = None
    debug: ReflectionTable | None = None
    failed: dict[int, str] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)
    lost: list[Any] = field(default_factory=list)


def refuse_mixture(experiments: Experiments) -> bool:
    """Whether these are stills; a mixture with rotation data is refused.

    Raises
    ------
    UserError
    """
    stills = [i for i, e in enumerate(experiments) if e.is_still]
    if stills and len(stills) < len(experiments):
        swept = next(i for i, e in enumerate(experiments) if not e.is_still)
        raise UserError(
            f"integrate: experiment {stills[0]} is a still, experiment {swept} was rotated: they are integrated in different ways. Give "
            "them in two runs: spindle split_experiments makes files of their own"
        )
    return bool(stills)


@dataclass(frozen=True)
class IntegrateBlock:
    """Integrates some stills, in whatever process."""

    context: RunContext
    params: Any

    def __call__(self, block: Block) -> Stills:
        context = self.context.nested("integrate", self.params)
        context.log = _quiet
        _quiet.setLevel(logging.ERROR)
        context.may_replace = True
        return _Work(context, self.params, block).run()


class _Work:
    """One block."""

    def __init__(self, context: RunContext, params: Any, block: Block) -> None:
        self.context, self.params, self.block = context, params, block
        self.profile = context.chosen(params.profile)
        self.failed: dict[int, str] = {}

    def run(self) -> Stills:
        """Profile models one by one, the rest together."""
        block = self.block
        reference = rubbish = None
        if block.reference is not None:
            reference, rubbish = split_reference(block.reference, len(block.experiments), self.context.log, "integrate")
            reference = predict_stills_for_indexed(block.experiments, reference)
            reference = reference.select(reference.has_flags(Flag.PREDICTED))
        good = self._with_models(reference)
        kept = list(good)
        none = Stills(Experiments([]), np.zeros(0, np.int64), failed=self.failed)
        if not kept:
            return none
        experiments = Experiments(good[i] for i in kept)
        reference = None if reference is None else _renumbered(reference, kept, len(block.experiments))
        params = self.params.changed(create_profile_model=False)
        try:
            ready = prepare(experiments, reference, self.profile, params, self.context)
            excluded = [block.excluded[i] for i in kept]
            integrator = Integrator(self.context, experiments, ready.predicted, self.profile, params, excluded)
            table, debug = integrator.run(ready.brightness)
        except UserError as error:
            for i in kept:
                self.failed[int(block.numbers[i])] = _reason(error)
            return none
        integrator.forget()
        experiments, table = self._with_partiality(integrator.experiments, table)
        table = correct_absorption(table, experiments, self.params.absorption_correction, self.profile, self.context)
        numbers = block.numbers[kept]
        if rubbish is not None and ready.unmatched is not None and len(ready.unmatched):
            unmatched = ready.unmatched.view()
            unmatched["id"] = np.asarray(kept, np.int32)[unmatched["id"]]
            rubbish = ReflectionTable.concatenate([rubbish, unmatched])
        return Stills(
            experiments, numbers, table, rubbish, debug, self.failed, list(integrator.tables), integrator.lost
        )

    def _with_models(self, reference: ReflectionTable | None) -> dict[int, Experiment]:
        """Experiments with profile models, by number in the block; the reasons of others are noted."""
        good: dict[int, Experiment] = {}
        rows = {} if reference is None else reference.rows_by_experiment()
        for i, experiment in enumerate(self.block.experiments):
            number = int(self.block.numbers[i])
            spots = None
            if reference is not None:
                spots = reference.select(rows.get(i, np.zeros(0, np.int64)))
                spots["id"] = np.zeros(len(spots), np.int32)
            try:
                if spots is not None:
                    check_distance(spots, "integrate")
                good[i] = with_profiles(Experiments([experiment]), spots, self.profile, self.params, self.context.log)[
                    0
                ]
            except UserError as error:
                self.failed[number] = _reason(error)
        return good

    def _with_partiality(self, experiments: Experiments, table: ReflectionTable) -> tuple[Experiments, ReflectionTable]:
        """Rocking widths as the intensities show them, and the partialities and Lorentz factors that follow."""
        table = table.view()
        if self.params.create_profile_model:
            models = self.profile.learn_partiality(experiments=experiments, reflections=table)
            before = self.profile.still_lorentz(experiments=experiments, reflections=table)
            experiments = Experiments(replace(e, profile=m) for e, m in zip(experiments, models, strict=True))
            after = self.profile.still_lorentz(experiments=experiments, reflections=table)
            table["lp"] = table["lp"] * (before / after)
        table["partiality"] = self.profile.partiality(experiments=experiments, reflections=table, bbox=table["bbox"])
        return experiments, table


def integrate_stills(
    experiments: Experiments, reference: ReflectionTable | None, params: Any, excluded: list[set[int]], context: RunContext
) -> Stills:  # fmt: skip
    """Integrate stills, in blocks, by as many workers as there are.

    Raises
    ------
    UserError
        If none can be integrated.
    """
    if params.integration.background.algorithm == "Auto":
        # a single image does not tell rings from noise well enough to choose by, and is long looked at
        params = params.changed(integration__background__algorithm=BACKGROUND)
    context.log.info(
        "Integrating %d stills, profile %s, background %s",
        len(experiments),
        params.profile.algorithm,
        params.integration.background.algorithm,
    )
    out = Stills(Experiments([]), np.zeros(0, np.int64))
    parts: dict[str, list[ReflectionTable]] = {"table": [], "rubbish": [], "debug": []}
    kept: list[Experiment] = []
    numbers: list[int] = []
    n_rows = 0
    with context.progress("integrating", len(experiments)) as progress:
        blocks = list(_blocks(experiments, reference, excluded))
        for block, found in zip(blocks, context.executor.map(IntegrateBlock(context, params), blocks), strict=True):
            first = len(kept)
            kept += list(found.experiments)
            numbers += found.numbers.tolist()
            out.failed.update(found.failed)
            out.tables += found.tables
            out.lost += found.lost
            for name, held in parts.items():
                table = getattr(found, name)
                if table is None:
                    continue
                table = table.view()
                table.identifiers = {}
                if name == "table":
                    table["id"] = table["id"] + np.int32(first)
                if "partial_id" in table:
                    table["partial_id"] = table["partial_id"] + np.uint64(n_rows)
                held.append(table)
            if found.table is not None:
                n_rows += int(found.table["partial_id"].max()) + 1
            progress.advance(len(block.numbers))
    if not kept:
        first_reason = next(iter(out.failed.values()))
        raise UserError(f"integrate: none of {len(experiments)} stills could be integrated. The first: {first_reason}")
    out.experiments, out.numbers = Experiments(kept), np.array(numbers, np.int64)
    joined = {name: ReflectionTable.concatenate(held) if held else None for name, held in parts.items()}
    out.table, out.rubbish, out.debug = joined["table"], joined["rubbish"], joined["debug"]
    if out.table is not None:
        images = {id(s): k for k, s in enumerate(out.experiments.unique("imageset"))}
        number = np.array([images[id(e.imageset)] for e in out.experiments], np.int32)
        out.table["imageset_id"] = number[out.table["id"]]
    return out


def _blocks(experiments: Experiments, reference: ReflectionTable | None, excluded: list[set[int]]) -> Iterator[Block]:
    groups = image_groups(experiments)
    rows = {} if reference is None else reference.rows_by_experiment()
    unused = np.zeros(0, np.int64) if reference is None else rows.get(-1, np.zeros(0, np.int64))
    for start in range(0, len(groups), IMAGES_PER_BLOCK):
        numbers = np.array([i for group in groups[start : start + IMAGES_PER_BLOCK] for i in group], np.int64)
        own = None
        if reference is not None:
            mine = [rows[i] for i in numbers.tolist() if i in rows] + ([unused] if start == 0 else [])
            own = reference.select(np.sort(np.concatenate([*mine, np.zeros(0, np.int64)])))
            own.identifiers = {}
            place = np.full(len(experiments) + 1, -1, np.int32)  # the last stands for no experiment
            place[numbers] = np.arange(len(numbers), dtype=np.int32)
            own["id"] = place[own["id"]]
        some = Experiments(experiments[i] for i in numbers)
        yield Block(numbers, some, own, [excluded[i] for i in numbers])


def _renumbered(table: ReflectionTable, kept: list[int], n: int) -> ReflectionTable:
    """The rows of some experiments, which get new numbers."""
    place = np.full(n, -1, np.int32)
    place[kept] = np.arange(len(kept), dtype=np.int32)
    part = table.select(place[table["id"]] >= 0)
    part["id"] = place[part["id"]]
    return part


def _reason(error: UserError) -> str:
    return str(error).splitlines()[0].removeprefix("integrate: ")


def stills_table(
    stills: Stills, given: Experiments, table: ReflectionTable, profile: Any
) -> tuple[Table, list[dict[str, Any]]]:
    """One line a still, and those that were left out, with the reason."""
    rows: list[list[Any]] = []
    by_experiment = table.rows_by_experiment()
    flags = table["flags"]
    for i, experiment in enumerate(stills.experiments):
        if len(rows) == MOST_SHOWN:
            break
        own = by_experiment.get(i, np.zeros(0, np.int64))
        variance = table["intensity.sum.variance"][own]
        good = ((flags[own] & np.uint64(int(Flag.INTEGRATED_SUM))) != 0) & (variance > 0)
        signal = table["intensity.sum.value"][own][good] / np.sqrt(variance[good])
        widths = profile.describe_model(model=experiment.profile).widths_deg
        rows.append(
            [
                experiment.image_name,
                int(np.count_nonzero(flags[own] & np.uint64(int(Flag.REFERENCE_SPOT)))),
                int(np.count_nonzero(good)),
                f"{signal.mean():.2f}" if len(signal) else "--",
                f"{table['partiality'][own][good].mean():.3f}" if len(signal) else "--",
                *(f"{v:.4f}" for v in widths.values()),
            ]
        )
    names = [] if not rows else list(profile.describe_model(model=stills.experiments[0].profile).widths_deg)
    headers = ["Still", "Strong", "Integrated", "Mean\nI/sigma", "Mean\npartiality", *(f"{n}\n(deg)" for n in names)]
    told = [{"experiment": n, "image": given[n].image_name, "reason": why} for n, why in sorted(stills.failed.items())]
    return Table(f"Stills ({len(stills.experiments)} of {len(given)} integrated)", headers, rows, "stills"), told
