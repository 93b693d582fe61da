"""The program `export`."""

from __future__ import annotations

from typing import Any

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import UserError
from spindle.models import Experiments
from spindle.params import Bool, Choice, PathParam, Plugin
from spindle.params import Params as BaseParams
from spindle.table import ReflectionTable


class ExportProgram(Program):
    """Write integrated or scaled reflections, or experiments, in the format of another program.

    Give an experiment file and, for formats that hold reflections, one reflection file.

        spindle export scaled.expt scaled.refl
        spindle export scaled.expt scaled.refl format=shelx
        spindle export integrated.expt integrated.refl format=xds_ascii intensity=profile
    """

    class Params(BaseParams):
        format = Plugin("exporter", default="mtz", help="Format to write; every installed exporter is a choice.")
        intensity = Choice(
            ["auto", "profile", "sum", "profile+sum", "scale"],
            default="auto",
            help="Which intensity to write; auto is the scaled one when the data are scaled, else profile-fitted and "
            "summed.",
        )

        debug = Bool(
            False,
            level=2,
            unavailable="the messages and the log say all that is known",
            help="Write more about what is done.",
        )

        class output(BaseParams):
            """Output files other than the data."""

            log = PathParam("spindle.export.log", none=True, help="Log file.")

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Params, context: Any) -> ProgramResult:
        """Export; see `spindle.contracts.program.ProgramSpec`."""
        if inputs.files:
            raise UserError(
                f"export: {inputs.files[0]} is neither an experiment file nor a reflection file; give scaled.expt "
                "scaled.refl"
            )
        if inputs.experiments is None:
            raise UserError(
                "export: no experiments; give an experiment file too: spindle export scaled.expt scaled.refl"
            )
        if len(inputs.reflections) > 1:
            raise UserError(
                f"export: {len(inputs.reflections)} reflection files; give one, which holds all reflections of the "
                "experiments"
            )
        table: ReflectionTable | None = inputs.reflections[0] if inputs.reflections else None
        exporter = context.algorithm("exporter", params.format)
        if table is None and "reflections" in exporter.declared("needs"):
            raise UserError(f"export format={params.format}: no reflections; give a reflection file too")
        _refuse_unspeakable(exporter, inputs.experiments, params.format)
        export = exporter.export(inputs.experiments, table, params.intensity, None)
        for message in export.messages:
            context.log.info("%s", message)
        for shown in export.tables:
            context.table(shown.as_detail())
        return ProgramResult(
            summary=export.summary, files=export.files, next_step=export.next_step or _hand_over(list(export.files))
        )


def _hand_over(files: list[str]) -> str:
    names = ", ".join(files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
    return f"give {names} to the program that reads the format" if files else ""


def _refuse_unspeakable(exporter: Any, experiments: Experiments, name: str) -> None:
    """Raise for experiments that the format has no words for, by what the exporter declares."""
    if len(experiments) > 1 and not exporter.declared("several_experiments"):
        raise UserError(
            f"export format={name}: there are {len(experiments)} experiments, a file of this format holds one; give them one by one"
        )
    if exporter.declared("several_panels"):
        return
    for i, experiment in enumerate(experiments):
        if len(experiment.detector) > 1:
            raise UserError(
                f"export format={name}: the detector of experiment {i} has {len(experiment.detector)} panels, this format "
                "describes one; segmented detectors are written with format=mtz or xds_ascii"
            )
