"""The program `spindle predict`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.params import Bool, Float, Int, PathParam, Plugin
from spindle.params import Params as ParamsBase

if TYPE_CHECKING:
    from spindle.execution import RunContext

__all__ = ["Predict"]


class Predict(Program):
    """Predict where and when the reflections of crystals are seen.

    Scans are predicted with their scan-varying crystal, beam and setting rotation where they have them, stills with the mosaic model
    of their crystal. Absences of the lattice centring are left out, those of screw axes and glide planes are predicted. With a
    profile model (as spindle integrate writes it) each reflection gets its bounding box.

        spindle predict refined.expt d_min=1.8
        spindle predict integrated.expt buffer_size=2

    With a reflection file the positions of its indexed reflections are predicted instead, each in the turn and on the panel where it
    was observed; all other columns stay.

        spindle predict refined.expt indexed.refl
    """

    takes_files = False

    class Params(ParamsBase):
        """Predict reflections."""

        output = PathParam("predicted.refl", output=True, help="The predicted reflections.")
        force_static = Bool(False, help="Predict with the static crystal although scan-varying models are there.")
        ignore_shadows = Bool(
            True,
            level=2,
            unavailable="predictions are not compared with moving shadows; spindle integrate leaves their pixels out",
            help="Predict also what a part of the goniometer shadows.",
        )
        buffer_size = Int(
            0,
            min=0,
            max=1_000_000,
            units="images",
            help="Predict for so many images before and after the scan, too; scan-varying models stay as at its ends.",
        )
        d_min = Float(None, min=0, units="A", help="High resolution limit; None: the corners of the detector.")
        d_max = Float(None, min=0, units="A", help="Low resolution limit.")

        class profile(ParamsBase):
            """Profile model, which makes bounding boxes."""

            algorithm = Plugin(
                "profile",
                default="gaussian_rs",
                help="Profile model of experiments that name none. Where its parameters say what the model is "
                "(gaussian_rs.parameters.sigma_b= and sigma_m=), experiments without one get that.",
            )

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Any, context: RunContext) -> ProgramResult:
        """Predict; see `spindle.contracts.program.ProgramSpec`."""
        from .workflow import predict_all

        return predict_all(inputs, params, context)
