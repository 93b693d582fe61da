"""The program `spindle find_rotation_axis`."""

from __future__ import annotations

from typing import Any

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.params import Auto, Bool, Float, Int, PathParam, Str
from spindle.params import Params as ParamsBase

__all__ = ["FindRotationAxis"]


class FindRotationAxis(Program):
    """Find the direction of the rotation axis across the beam, and the sense of the rotation, and turn the goniometer there.

    Give experiments (imported.expt) and spots (strong.refl). Spots are turned back by their angles about trial axes: about the right
    one they make a lattice, whose points differ in few directions, about others they do not. No cell is needed. Electron
    microscopes often do not tell the axis, or tell it with the wrong sense. The axis is taken to lie across the beam; what it deviates
    from that is refined by `spindle refine`.

    Sweeps that share a goniometer get one axis; others are searched one by one.

        spindle find_rotation_axis imported.expt strong.refl
        spindle index optimised.expt strong.refl
    """

    takes_files = False
    needs_columns = {"xyzobs.px.value": "spindle find_spots writes it", "panel": "spindle find_spots writes it"}

    class Params(ParamsBase):
        """The search for the rotation axis."""

        max_two_theta = Float(
            10.0, min=0, none=True, units="deg", help="Spots at larger scattering angles are left out; None takes all."
        )
        view = Bool(False, help="Write the picture for the axis as it is, or for azimuth=, and search nothing.")
        global_search = Bool(
            True, help="Search all azimuths; False searches within 5 degrees of the axis as it is, or of azimuth=."
        )
        azimuth = Float(
            None,
            min=-360,
            max=360,
            none=True,
            units="deg",
            help="Azimuth to compare with, to show, or to start from, in place of that of the experiments: the angle from x away "
            "from y, where the beam runs along -z. The axis is (cos, -sin, 0).",
        )
        opposite = Bool(False, help="Take the opposite of the azimuth of the experiments, or of azimuth=.")
        nproc = Int(
            Auto, min=1, max=4_096, auto=True, none=True, level=1, help="Number of threads; Auto takes mp.nproc."
        )

        class output(ParamsBase):
            """What is written."""

            experiments = PathParam("optimised.expt", help="The experiments with the goniometer turned.")
            plot = Str(
                "find_rotation_axis", none=True, help="Name without .html of the page with the pictures; None for none."
            )
            log = Str("spindle.find_rotation_axis.log", none=True, help="Log file.")

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Params, context: Any) -> ProgramResult:
        """Search; see the class."""
        from .workflow import find_axes

        return find_axes(inputs, params, context)
