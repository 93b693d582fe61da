"""The program `spindle plot_scan_varying_model`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.params import Bool, Choice, Floats, FolderParam
from spindle.params import Params as ParamsBase

if TYPE_CHECKING:
    from spindle.execution import RunContext

__all__ = ["PlotScanVaryingModel"]


class PlotScanVaryingModel(Program):
    """Draw how cell, orientation and beam change along the scan.

    For experiments refined with models that vary with the scan (spindle refine does so unless told otherwise). Curves are against
    the rotation angle, one for each experiment; bars are standard deviations. The orientation is given as three turns, the first about
    e1, the second about e2, the third about e3, axes of the laboratory; by default those that lead from the static orientation to
    that at each image.

        spindle plot_scan_varying_model refined.expt
        spindle plot_scan_varying_model refined.expt output.format=pdf output.directory=plots
    """

    takes_files = False
    compares_models = True

    class Params(ParamsBase):
        """Draw models that vary with the scan."""

        class output(ParamsBase):
            """What is written."""

            directory = FolderParam(".", help="The plots go to its folder scan-varying_model.")
            format = Choice(["png", "pdf"], "png", help="Kind of files.")
            debug = Bool(False, level=1, help="Print the values that are drawn.")

        class orientation_decomposition(ParamsBase):
            """The orientation as three turns."""

            e1 = Floats((1.0, 0.0, 0.0), size=3, help="Axis of the first turn, in the laboratory.")
            e2 = Floats((0.0, 1.0, 0.0), size=3, help="Axis of the second turn.")
            e3 = Floats((0.0, 0.0, 1.0), size=3, help="Axis of the third turn.")
            relative_to_static_orientation = Bool(
                True,
                help="Turns from the static orientation of the crystal; False: from a crystal with a along x and b in the xy plane.",
            )

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Any, context: RunContext) -> ProgramResult:
        """Draw; see `spindle.contracts.program.ProgramSpec`."""
        from .workflow import draw_models

        return draw_models(inputs, params, context)
