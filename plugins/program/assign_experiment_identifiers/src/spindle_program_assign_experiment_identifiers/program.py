"""The program `assign_experiment_identifiers`."""

from __future__ import annotations

from typing import Any

import numpy as np

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import ParameterError, UserError
from spindle.models import Experiment, Experiments, derived_identifier, renamed
from spindle.params import Params as ParamsBase
from spindle.params import PathParam, Strings
from spindle.report import Table
from spindle_lib_selection.parts import Parts, imageset_numbers, imagesets_of_rows, join

MAX_ROWS = 100


class AssignExperimentIdentifiers(Program):
    """Give every experiment an identifier, by which reflection files name it.

    Experiments that have one keep it unless identifiers are given; others get one that is made of their images and their place. Several
    files are joined: experiments and reflections of files without identifiers belong together in their order. So do those of files in
    which experiments have one identifier (two crystals on the same images, each indexed by itself): the first keeps it.

        spindle assign_experiment_identifiers old_1.expt old_2.expt old_1.refl old_2.refl
        spindle assign_experiment_identifiers integrated.expt integrated.refl identifiers=crystal_1
    """

    takes_files = False
    names_experiments = True

    class Params(ParamsBase):
        """Which identifiers."""

        identifiers = Strings(None, help="One for each experiment, in their order; None keeps those that there are.")

        class output(ParamsBase):
            """What is written."""

            reflections = PathParam("assigned.refl", help="Reflections, which name the experiments.")
            experiments = PathParam("assigned.expt", help="Experiments with their identifiers.")
            log = PathParam("spindle.assign_experiment_identifiers.log", none=True, help="Log file.")

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Any, context: Any) -> ProgramResult:
        """Assign; see `spindle.contracts.program.ProgramSpec`."""
        experiments = inputs.experiments
        if not experiments:
            raise UserError(
                "assign_experiment_identifiers: no experiments: give experiment files, and their reflections"
            )
        if any("id" not in table for table in inputs.reflections):
            raise UserError(
                "assign_experiment_identifiers: a reflection file has no column id, which tells its experiments apart"
            )
        named = renamed(experiments, identifiers_of(experiments, params.identifiers))
        table = join(inputs.reflections)
        numbers = imageset_numbers(experiments)
        where = [imagesets_of_rows(t, numbers) for t in inputs.reflections]
        parts = Parts(experiments, table, np.concatenate(where) if where else None)
        assigned, reflections = parts.take(range(len(experiments)), models=named)
        counts = parts.counts()
        rows: list[list[Any]] = [
            [
                i,
                new.identifier,
                "new" if new.identifier != old.identifier else "",
                int(n) if table is not None else None,
            ]
            for i, (new, old, n) in enumerate(zip(assigned, experiments, counts, strict=True))
        ]
        n_new = sum(row[2] == "new" for row in rows)
        if len(rows) > MAX_ROWS:
            rows = [*rows[:MAX_ROWS], [f"... {len(rows) - MAX_ROWS} more", "", "", None]]
        context.table(Table("Identifiers", ["Experiment", "Identifier", "", "Reflections"], rows, "identifiers"))
        context.log.info("%d of %d identifiers are new", n_new, len(assigned))
        names = f"{params.output.experiments} {params.output.reflections}"
        return ProgramResult(
            experiments=assigned, reflections=reflections, summary={"n_experiments": len(assigned), "n_new": n_new},
            next_step=f"spindle show {names if reflections is not None else params.output.experiments}",
        )  # fmt: skip


def identifiers_of(experiments: Experiments, given: Any) -> list[str]:
    """The identifier of each experiment.

    Raises
    ------
    ParameterError
        If as many are not given as there are experiments, one is empty, or one is given twice.
    """
    if given is None:
        found: dict[str, None] = {}
        for i, e in enumerate(experiments):
            first = e.identifier and e.identifier not in found
            found[e.identifier if first else derived_identifier(e.identifier or "assigned", i, _images(e))] = None
        return list(found)
    names = list(given)
    if len(names) != len(experiments):
        raise ParameterError(
            f"identifiers: {len(names)} are given for {len(experiments)} experiments; give one for each"
        )
    for i, name in enumerate(names):
        if not name or name in names[:i]:
            what = "is empty" if not name else "is given twice"
            raise ParameterError(f"identifiers: {name!r}, that of experiment {i}, {what}; each needs one of its own")
    return names


def _images(experiment: Experiment) -> str:
    imageset, scan = experiment.imageset, experiment.scan
    name = "" if imageset is None else imageset.template or imageset.paths
    return f"{name} {'' if scan is None else scan.image_range}"
