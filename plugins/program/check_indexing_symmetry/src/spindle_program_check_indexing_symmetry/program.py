"""The program `check_indexing_symmetry`."""

from __future__ import annotations

from typing import Any

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.params import Bool, Float, Int, PathParam
from spindle.params import Params as ParamsBase

__all__ = ["CheckIndexingSymmetry"]


class CheckIndexingSymmetry(Program):
    """Check that indices are right: do intensities agree that symmetry makes equal, and is the origin where it should be?

    Give experiments and reflections with intensities, integrated or of found spots. Every rotation of the space group
    is judged by the correlation of the intensities that it relates. With grid=, indices are shifted by up to so many
    rows in each direction: where a beam centre is wrong by a row of spots, Friedel mates agree best about a shifted
    origin, and `spindle reindex hkl_offset=` mends the indices. Each experiment is checked by itself.

        spindle check_indexing_symmetry integrated.expt integrated.refl grid=1
    """

    takes_files = False
    needs_columns = {
        "miller_index": "spindle index writes it",
        "intensity.sum.value": "spindle find_spots and integrate write it",
        "intensity.sum.variance": "spindle find_spots and integrate write it",
    }

    class Params(ParamsBase):
        """What is compared."""

        d_min = Float(
            0.0, min=0, none=True, units="angstrom", help="High resolution limit of the symmetry test; 0 for none."
        )
        d_max = Float(
            0.0, min=0, none=True, units="angstrom", help="Low resolution limit of the symmetry test; 0 for none."
        )
        symop_threshold = Float(
            0.0, min=-1, max=1, none=True,
            help="A rotation is accepted where the correlation less twice its standard deviation is above this; shifts "
            "are shown whose correlation is.",
        )  # fmt: skip
        grid = Int(
            0, min=0, max=20, none=True,
            help="Shifts of h, k and l to try, up to so many rows each way; 0 for no search of the origin.",
        )  # fmt: skip
        grid_h = Int(0, min=0, max=20, none=True, help="Shifts of h to try, instead of grid.")
        grid_k = Int(0, min=0, max=20, none=True, help="Shifts of k to try, instead of grid.")
        grid_l = Int(0, min=0, max=20, none=True, help="Shifts of l to try, instead of grid.")
        asu = Bool(
            False,
            help="Compare all equivalents of each shifted index, which takes the space group for granted, instead of "
            "Friedel mates only.",
        )
        normalise = Bool(False, help="Divide intensities by their mean in shells of resolution before.")
        normalise_bins = Int(0, min=0, max=1000, none=True, help="Number of those shells; 0 is 10.")
        reference = PathParam(
            None, none=True,
            help="Well indexed data of the same crystal form (.refl or .mtz): shifted intensities are compared with them "
            "instead of with Friedel mates.",
        )  # fmt: skip

        class output(ParamsBase):
            """Files to write."""

            log = PathParam("spindle.check_indexing_symmetry.log", none=True, help="Log file.")

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Params, context: Any) -> ProgramResult:
        """See `spindle.contracts.program.ProgramSpec`."""
        from .workflow import check

        return check(inputs, params, context)
