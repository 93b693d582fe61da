"""The parameters of `ellipsoid`."""

from __future__ import annotations

from spindle.params import Bool, Choice, Float, Int, Params

from .mosaicity import MODELS

__all__ = ["EllipsoidParams"]

FIXED = "crystals are refined by spindle index and spindle refine; a profile model leaves them as they are"


class EllipsoidParams(Params):
    """Normal distributions of reciprocal-lattice points."""

    class rlp_mosaicity(Params):
        """What makes lattice points wide."""

        model = Choice(
            list(MODELS),
            "simple1angular1",
            help="What the distribution is: simple1, a sphere of the same size for all points (small blocks); simple6, an ellipsoid with "
            "axes of its own; angular2 and angular4, widths along and across the direction of each point; with angular1 and angular3 "
            "in the name, besides, one or three numbers of blocks that are turned against each other, whose points are the wider "
            "the farther they are from the origin.",
        )

    class wavelength_spread(Params):
        """The spectrum."""

        model = Choice(["delta"], "delta", help="delta: one wavelength.")

    class unit_cell(Params):
        """Cells."""

        fixed = Bool(False, unavailable=FIXED, help="Leave the cell as it is.")

    class orientation(Params):
        """Orientations."""

        fixed = Bool(False, unavailable=FIXED, help="Leave the orientation as it is.")

    class indexing(Params):
        """Strong spots against the lattice."""

        fail_on_bad_index = Bool(
            False,
            help="Leave a still out when one of its strong spots lies farther than 0.3 from its index; otherwise the spot is left out.",
        )

    class refinement(Params):
        """How the most likely distribution is found."""

        max_separation = Float(
            2.0, min=0.01, units="pixels", help="Strong spots farther from their prediction are left out."
        )
        outlier_probability = Float(
            0.975,
            min=0.5,
            max=1,
            help="Part of a normal distribution of strong spots about their predictions that is kept.",
        )
        n_macro_cycles = Int(
            1, min=1, max=20, help="How often strong spots are chosen anew with the model found before."
        )
        n_cycles = Int(3, min=1, max=100, unavailable=FIXED, help="Cycles of model and crystal in turn.")
        min_n_reflections = Int(10, min=1, max=1000000, help="Least number of strong spots for a model.")
        max_iter = Int(100, min=1, max=10000, help="Most iterations of the search for the maximum.")
        LL_tolerance = Float(
            1e-3, min=1e-9, max=10, help="Gain of the log likelihood below which the search is at an end."
        )
        mosaicity_max_limit = Float(
            0.004, min=1e-6, max=1, units="1/angstrom", help="Models with a larger width are refused."
        )

    class prediction(Params):
        """Which reflections are predicted, and what belongs to them."""

        d_min = Float(None, min=0.1, units="angstrom", help="Resolution limit of the predictions of stills.")
        probability = Float(
            0.9973,
            min=0.5,
            max=0.999999,
            help="Part of the distribution of a point that is taken for it: in predictions, boxes and foregrounds.",
        )
