"""The program `spindle reciprocal_lattice_viewer`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.params import Params as ParamsBase
from spindle.params import PathParam, Str
from spindle_lib_reciprocal_view.params import ReciprocalViewParams

if TYPE_CHECKING:
    from spindle.execution import RunContext

__all__ = ["ReciprocalLatticeViewer"]


class ReciprocalLatticeViewer(Program):
    """Write a page that shows spots and lattices in reciprocal space, to turn and zoom.

    The page is one file that needs no network and no other program than a browser with WebGL. Spots are where they are in the
    reciprocal space of the crystal, freed from the rotation of the goniometer: of one lattice they stand in rows, seen along its
    axes; several lattices, a wrong rotation axis or beam centre show at once. They are coloured by lattice, by what became of them, by
    image, sweep, intensity or resolution, and filtered by the same; chosen in boxes and hidden; vectors between them are measured and make
    cells; beam centre and distance are moved live; detector and goniometer are drawn, too. The parameters say what the page shows first; all but the geometry can be
    changed on it.

        spindle reciprocal_lattice_viewer imported.expt strong.refl
        spindle reciprocal_lattice_viewer indexed.expt indexed.refl d_min=2 show_reciprocal_cell=True
        spindle reciprocal_lattice_viewer imported.expt strong.refl reverse_phi=True
    """

    takes_files = False

    class Params(ReciprocalViewParams):
        """Show reciprocal space."""

        class output(ParamsBase):
            """What is written."""

            html = PathParam("reciprocal_lattice.html", help="The page.")
            log = Str("spindle.reciprocal_lattice_viewer.log", none=True, help="Log file.")

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Any, context: RunContext) -> ProgramResult:
        """Make the page; see `spindle.contracts.program.ProgramSpec`."""
        from .workflow import make_page

        return make_page(inputs, params, context)
