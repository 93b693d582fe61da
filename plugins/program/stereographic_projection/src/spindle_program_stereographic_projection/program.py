"""The program `spindle stereographic_projection`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.params import Bool, Choice, Float, Int, Ints, PathParam, Str, Strings
from spindle.params import Params as ParamsBase

if TYPE_CHECKING:
    from spindle.execution import RunContext

__all__ = ["StereographicProjection"]


class StereographicProjection(Program):
    """Draw the normals of lattice planes of crystals in stereographic projection.

    In the laboratory frame the picture's plane is across the beam, its y axis along the rotation axis; how crystals lie to each
    other and to the axis is seen at a glance. In the crystal frame all crystals are seen along a lattice vector of the first, each
    turned by what its orientation differs from that of the first, in the smallest of the ways that symmetry allows.
    Both hemispheres fall on one disc.

        spindle stereographic_projection indexed.expt hkl=1,0,0 hkl=0,1,0 hkl=0,0,1
        spindle stereographic_projection indexed.expt hkl_limit=2 frame=crystal
        spindle stereographic_projection a.expt b.expt hkl=0,0,1 colours=red,blue plot.labels=a,b
    """

    takes_files = False
    compares_models = True

    class Params(ParamsBase):
        """Draw directions of lattice planes."""

        hkl = Ints(
            None, size=3, min=-10_000, max=10_000, multiple=True, help="Indices of planes; given again for more."
        )
        hkl_limit = Int(None, min=1, max=30, help="Instead of hkl: all planes with indices up to this.")
        expand_to_p1 = Bool(True, help="Also draw what symmetry makes equivalent to the planes.")
        eliminate_sys_absent = Bool(False, help="Leave out planes whose reflections are absent by symmetry.")
        frame = Choice(["laboratory", "crystal"], "laboratory", help="Frame that is looked at.")
        phi_angle = Float(0.0, none=True, units="degrees", help="Angle of the scan axis, in the laboratory frame.")
        use_starting_angle = Bool(
            False, help="Take the angle at which the scan of each crystal begins, instead of phi_angle."
        )
        plane_normal = Ints(
            None, size=3, min=-10_000, max=10_000,
            help="Lattice vector that the crystal frame is seen along; 0,0,1 when not given.",
        )  # fmt: skip
        save_coordinates = Bool(True, help="Write the coordinates to projections.txt.")

        class plot(ParamsBase):
            """The picture."""

            filename = PathParam(
                "stereographic_projection.png", output=True, none=True, help="Picture: .png, .pdf or .svg."
            )
            label_indices = Bool(False, help="Write the indices beside the points.")
            colours = Strings(
                None,
                none=True,
                help="Colours of the crystals, by the names that matplotlib knows; they repeat when there are too few.",
            )
            marker_size = Int(3, min=1, max=1000, none=True, help="Area of the points, in square points.")
            font_size = Float(6.0, min=0, max=200, none=True, help="Size of the indices, in points.")
            colour_map = Str(
                None,
                none=True,
                help="Colour the crystals by the time when they were measured, or in turn without times, by this map.",
            )
            gridsize = Int(None, min=1, max=1000, help="Draw densities in so many hexagons across, instead of points.")
            labels = Strings(None, none=True, help="Names of the crystals, for the picture and the JSON file.")

        class json(ParamsBase):
            """The points for a plot on a page."""

            filename = PathParam(None, output=True, help="JSON file of a plotly figure.")

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Any, context: RunContext) -> ProgramResult:
        """Draw; see `spindle.contracts.program.ProgramSpec`."""
        from .workflow import project

        return project(inputs, params, context)
