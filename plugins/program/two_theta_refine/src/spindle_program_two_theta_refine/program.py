"""The program `spindle two_theta_refine`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.params import Bool, Float, Ints, PathParam, Str, Strings
from spindle.params import Params as ParamsBase

if TYPE_CHECKING:
    from spindle.execution import RunContext

__all__ = ["TwoThetaRefine"]


class TwoThetaRefine(Program):
    """Refine cells against the scattering angles 2theta of their reflections, for a cell with standard deviations to publish.

    Nothing else is refined: beam, detector and orientation stay as they are, and so does the cell that describes the images. The
    result is written as the crystal's recalculated cell. All reflections have the same weight.

    The standard deviations follow from the scatter of 2theta alone. An error of the wavelength, or of the distance, changes all
    edges by the same fraction and is not in them. One cell for several crystals (refinement.combine_crystal_models) is their mean, in which
    each counts as the differences between them say (a random-effects mean), and its standard deviations hold those differences.

        spindle two_theta_refine integrated.expt integrated.refl
        spindle two_theta_refine scaled.expt scaled.refl cif=cell.cif p4p=cell.p4p
    """

    takes_files = False
    needs_columns = {"miller_index": "spindle index", "id": "spindle index", "panel": "spindle find_spots"}

    class Params(ParamsBase):
        """Refine cells against 2theta."""

        class output(ParamsBase):
            """What is written."""

            experiments = PathParam("refined_cell.expt", help="The experiments with recalculated cells.")
            log = Str("spindle.two_theta_refine.log", none=True, help="Log file.")
            cif = PathParam(None, help="Cell, angles and indices as CIF, for small molecules.")
            mmcif = PathParam(None, help="The same as mmCIF.")
            p4p = PathParam(None, help="Cell and wavelength as a .p4p file, for XPREP; of one crystal.")

            class correlation_plot(ParamsBase, level=1):
                """Correlations of the refined elements of the reciprocal metric."""

                filename = PathParam(
                    None,
                    help="Name of the plots: <name>_2theta.png (or .pdf, .svg); the numbers go to <name>.json. Without suffix, .pdf.",
                )
                col_select = Strings(
                    None,
                    none=True,
                    help="Only parameters whose name begins with one of these, or with these numbers from 0.",
                )
                steps = Ints(None, min=0, none=True, help="Steps to show, from 0; the last one when not given.")

        class refinement(ParamsBase):
            """Which reflections and cells."""

            filter_integrated_centroids = Bool(
                True,
                help="Of integrated data, use the reflections that are both integrated and strong: only these have observed centroids.",
            )
            partiality_threshold = Float(
                0.4, min=0, max=1, none=True, help="Least partiality of scaled reflections that are used; None: any."
            )
            combine_crystal_models = Bool(
                True, help="Refine the mean cell of all crystals; False: one for each crystal."
            )
            triclinic = Bool(False, help="Let go of the symmetry: refine the primitive cell in P 1.")

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Any, context: RunContext) -> ProgramResult:
        """Refine; see `spindle.contracts.program.ProgramSpec`."""
        from .workflow import refine_cells

        return refine_cells(inputs, params, context)
