"""The program `spindle reciprocal_lattice_viewer`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.params import Auto, Bool, Choice, Float, Floats, Int, Ints, PathParam, Str
from spindle.params import Params as ParamsBase

if TYPE_CHECKING:
    from spindle.execution import RunContext

__all__ = ["ReciprocalLatticeViewer"]


class ReciprocalLatticeViewer(Program):
    """Write a page that shows spots and lattices in reciprocal space, to turn and zoom.

    The page is one file that needs no network and no other program than a browser with WebGL. Spots are where they are in the
    reciprocal space of the crystal, freed from the rotation of the goniometer: of one lattice they stand in rows, seen along its
    axes; several lattices, a wrong rotation axis or beam centre show at once. They are coloured by lattice, by what became of them, by
    image or by resolution, and filtered by the same. The parameters say what the page shows first; all but the geometry can be
    changed on it.

        spindle reciprocal_lattice_viewer imported.expt strong.refl
        spindle reciprocal_lattice_viewer indexed.expt indexed.refl d_min=2 show_reciprocal_cell=True
        spindle reciprocal_lattice_viewer imported.expt strong.refl reverse_phi=True
    """

    takes_files = False

    class Params(ParamsBase):
        """Show reciprocal space."""

        reverse_phi = Bool(
            False, none=True, help="Turn the rotation axis round, to see whether the lattice gets better."
        )
        crystal_frame = Bool(
            False,
            none=True,
            help="Turn each lattice so that its a lies along x and its c* along z, all lattices alike.",
        )
        beam_centre_panel = Int(
            None, min=0, max=100_000, help="Panel that beam_centre is on; None: the one that the beam hits."
        )
        beam_centre = Floats(
            None, size=2, units="mm", help="Where the beam hits the panel, fast and slow: the detector is moved there."
        )
        d_min = Float(None, min=0, units="A", help="Show spots to this resolution.")
        z_min = Float(None, units="images", help="Show spots from this place along the scan (array index).")
        z_max = Float(None, units="images", help="Show spots up to this place along the scan.")
        n_min = Int(0, min=0, max=10_000_000, none=True, units="pixels", help="Show spots of at least so many pixels.")
        n_max = Int(
            1_000_000, min=0, max=10_000_000, none=True, units="pixels", help="Show spots of at most so many pixels."
        )
        partiality_min = Float(None, help="Show reflections of at least this partiality.")
        partiality_max = Float(None, help="Show reflections of at most this partiality.")
        display = Choice(["all", "unindexed", "indexed", "integrated"], "all", help="Which spots to show.")
        outlier_display = Choice(
            ["outliers", "inliers"],
            None,
            none=True,
            help="Show only those that refinement called outliers, or only the others.",
        )
        experiment_ids = Ints(
            None,
            min=-1,
            max=1_000_000,
            help="Lattices to show, by experiment from 0; -1 are the spots without lattice.",
        )
        black_background = Bool(True, help="White on black, or black on white.")
        show_rotation_axis = Bool(False, help="Draw the rotation axis.")
        show_beam_vector = Bool(False, help="Draw the beam, as it comes at angle zero.")
        show_crystal_axes = Bool(True, help="Draw a*, b* and c* of each lattice.")
        show_reciprocal_cell = Bool(False, help="Draw the reciprocal cell of each lattice.")
        label_nearest_point = Bool(False, help="Describe the point below the pointer: index, resolution, image.")
        marker_size = Int(
            Auto, min=1, max=100, none=True, units="pixels", help="Size of the points; Auto by their number."
        )
        autospin = Bool(False, help="Let the picture turn by itself.")
        model_view_matrix = Floats(
            None, size=16, help="Direction of view: the rotation of a 4 x 4 matrix, column after column."
        )
        max_experiments = Int(
            15,
            min=0,
            max=10_000,
            none=True,
            help="So many lattices have axes and a switch of their own, the others a switch together.",
        )

        class output(ParamsBase):
            """What is written."""

            html = PathParam("reciprocal_lattice.html", help="The page.")
            log = Str("spindle.reciprocal_lattice_viewer.log", none=True, help="Log file.")

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Any, context: RunContext) -> ProgramResult:
        """Make the page; see `spindle.contracts.program.ProgramSpec`."""
        from .workflow import make_page

        return make_page(inputs, params, context)
