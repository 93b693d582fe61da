"""The program `export`."""

from __future__ import annotations

from typing import Any

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import UserError
from spindle.params import Choice, PathParam, Plugin
from spindle.params import Params as BaseParams
from spindle.table import ReflectionTable


class ExportProgram(Program):
    """Write integrated or scaled reflections, or experiments, in the format of another program.

    Give an experiment file and, for formats that hold reflections, one reflection file.
    """

    class Params(BaseParams):
        format = Plugin("exporter", default="mtz", help="Format to write; every installed exporter is a choice.")
        intensity = Choice(
            ["auto", "profile", "sum", "profile+sum", "scale"],
            default="auto",
            help="Which intensity to write; auto is the scaled one when the data are scaled, else profile-fitted and "
            "summed.",
        )

        class output(BaseParams):
            """Output files other than the data."""

            log = PathParam("spindle.export.log", none=True, help="Log file.")

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Any, context: Any) -> ProgramResult:
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
        if table is None and params.format != "xds":
            raise UserError(f"export format={params.format}: no reflections; give a reflection file too")
        export = exporter.export(inputs.experiments, table, params.intensity, None)
        for message in export.messages:
            context.log.info("%s", message)
        for shown in export.tables:
            context.table(shown)
        return ProgramResult(summary=export.summary, files=export.files)
