"""The program `refine_bravais_settings`."""

from __future__ import annotations

from typing import Any

from spindle.contracts import Citation, Program, ProgramInputs, ProgramResult, hookimpl
from spindle.params import Auto, Bool, Float, FolderParam, Int, PathParam, Str
from spindle.params import Params as ParamsBase
from spindle_lib_refinement.indexing_params import IndexingRefinementParams

__all__ = ["RefineBravaisSettings"]


class RefineBravaisSettings(Program):
    """Refine a crystal in every lattice symmetry that its cell allows, to see which symmetry its lattice has.

    Give indexed.expt and indexed.refl. The reduced cell is searched for twofold axes within a tolerance; each subgroup
    of the lattice group that is the symmetry of a Bravais lattice is a setting. Beam, detector and crystal are refined
    in each, with the cell constrained: where the symmetry is not there, predicted and observed spots disagree more than
    in the triclinic setting (solution 1). Correlations of the spots' intensities tell the same from another side.
    Settings that are compatible with both have an asterisk; the first of them is the one to take.

        spindle refine_bravais_settings indexed.expt indexed.refl
        spindle refine bravais_setting_9.expt indexed.refl
    """

    citations = (
        Citation(
            "Grosse-Kunstleve, R. W. & Sauter, N. K. & Adams, P. D.",
            2004,
            "Numerically stable algorithms for the computation of reduced unit cells",
            "Acta Cryst. A",
            "60",
            "1-6",
            "10.1107/S010876730302186X",
        ),
    )

    takes_files = False
    needs_columns = {
        "miller_index": "spindle index writes it",
        "xyzobs.px.value": "spindle find_spots writes it",
        "xyzobs.px.variance": "spindle find_spots writes it",
    }

    class Params(ParamsBase):
        """Lattice symmetries and their refinement."""

        lepage_max_delta = Float(
            5.0,
            min=0,
            max=20,
            none=True,
            units="deg",
            help="Largest angle between the directions of a twofold axis in the direct and in the reciprocal lattice; "
            "None is the default.",
        )
        nproc = Int(
            Auto, min=1, max=4096, auto=True, none=True, help="Settings refined at a time; Auto takes mp.nproc."
        )
        cc_n_bins = Int(
            None,
            min=1,
            max=1000,
            none=True,
            help="Correlate within so many shells of resolution, of equal numbers of reflections, and average; all "
            "together when not given.",
        )
        best_monoclinic_beta = Bool(
            True, help="Take I 1 2 1 rather than C 1 2 1 where its beta is closer to 90 degrees."
        )
        refinement = IndexingRefinementParams
        crystal_id = Int(
            None,
            min=0,
            max=1_000_000,
            none=True,
            help="Number of the crystal to work on, counted from 0 as they appear in the experiments; all of them, "
            "which then must have one cell, when not given.",
        )

        class output(ParamsBase):
            """Files to write."""

            directory = FolderParam(".", help="Folder of the files; it is made where there is none.")
            log = PathParam("spindle.refine_bravais_settings.log", none=True, help="Log file.")
            prefix = Str(
                None, none=True, help="Put before the names bravais_summary.json and bravais_setting_<N>.expt."
            )

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Params, context: Any) -> ProgramResult:
        """See `spindle.contracts.program.ProgramSpec`."""
        from .workflow import refine_settings

        return refine_settings(inputs, params, context)
