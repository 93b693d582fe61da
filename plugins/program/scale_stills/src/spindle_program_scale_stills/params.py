"""Parameters of the program `scale_stills`."""

from __future__ import annotations

from spindle.params import Auto, Bool, Choice, Float, Int, PathParam
from spindle.params import Params as ParamsBase

__all__ = ["ScaleStillsParams"]


class ScaleStillsParams(ParamsBase):
    method = Choice(
        ["postrefinement", "monte_carlo"], default="postrefinement",
        help="postrefinement: find scale, B, orientation and width of each still against the means of the others, and divide by "
        "the partiality. monte_carlo: bring stills to one mean intensity and average, which many stills make good.",
    )  # fmt: skip
    anomalous = Bool(False, help="Keep Friedel mates apart.")
    d_min = Float(None, none=True, min=0, units="angstrom", help="High resolution limit.")
    d_max = Float(None, none=True, min=0, units="angstrom", help="Low resolution limit.")
    reference = PathParam(
        None, none=True, level=1,
        help="Intensities (MTZ, mmCIF) or coordinates (PDB, CIF) to refine stills against, instead of the means of the others.",
    )  # fmt: skip
    min_reflections = Int(10, min=3, max=100_000, level=1, help="Stills with fewer reflections are left out.")
    min_cc = Float(
        0.1, min=-1, max=1, level=1,
        help="Stills whose intensities correlate worse with the means of the others are left out: wrong indexing, another crystal.",
    )  # fmt: skip
    outlier_zmax = Float(6.0, min=3, level=1, help="Normalised deviation from the mean of the others of an outlier.")

    class partiality(ParamsBase, level=1):
        """The part of each reflection that a still records."""

        model = Choice(
            ["refined", "table", "unity"], default=Auto,
            help="Auto: refined or table, whichever makes two halves of the stills agree better. refined: exp(-t^2 / 2), t the distance from the Ewald sphere over the width, both refined. table: the column of the "
            "reflections as it is. unity: all are taken for whole.",
        )  # fmt: skip
        width = Choice(
            ["angle", "size"], default="angle",
            help="Whether the width of reciprocal-lattice points grows with their distance from the origin (mosaic spread) or is the "
            "same for all (small domains).",
        )  # fmt: skip
        min = Float(0.1, min=1e-3, max=1, help="Reflections that are recorded to a smaller part are not merged.")

    class postrefinement(ParamsBase, level=1):
        """What is refined for each still."""

        common_cell = Bool(
            True, help="Give all crystals the median of their cells, which single stills hardly tell. False keeps each cell, for crystals that "
            "really differ.",
        )  # fmt: skip
        cycles = Int(6, min=1, max=100, help="Cycles of merging and refinement.")
        b_factor = Bool(True, help="A relative B factor.")
        orientation = Bool(True, help="Two rotations across the beam.")
        width = Bool(True, help="The width of the reciprocal-lattice points.")
        orientation_spread = Float(
            0.1, min=1e-4, max=5, units="degrees",
            help="How wrong orientations are expected to be; what few reflections say is weighed against it.",
        )  # fmt: skip

    class reference_model(ParamsBase):
        """Solvent of a macromolecule from whose coordinates intensities are calculated."""

        k_sol = Float(0.35, min=0, max=2, units="e/A^3", help="Density; 0 for none.", level=2)
        b_sol = Float(46.0, min=0, max=500, units="A^2", help="B factor of its edge.", level=2)

    class merging(ParamsBase):
        """Statistics."""

        nbins = Int(10, min=1, max=10_000, level=1, help="Resolution shells.")

    class output(ParamsBase):
        """Output files."""

        experiments = PathParam(
            "scaled.expt", none=True, help="Experiments with refined orientations and scaling models."
        )
        reflections = PathParam(
            "scaled.refl", none=True, help="Reflections with scale factors and refined partialities."
        )
        json = PathParam("spindle.scale_stills_results.json", none=True, help="All numbers.")
        html = PathParam("spindle.scale_stills.html", none=True, help="Page with tables and plots.")
        log = PathParam("spindle.scale_stills.log", none=True, help="Log file.")
