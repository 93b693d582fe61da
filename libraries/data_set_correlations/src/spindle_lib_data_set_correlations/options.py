"""Parameters of programs that compare data sets."""

from __future__ import annotations

from spindle.params import Auto, Bool, Choice, Float, Int, Params

__all__ = ["CorrelationSearch", "SignificantClusters"]

_ENGINE = "the minimiser is that of scipy"


class CorrelationSearch(Params):
    """Correlations of data sets, and vectors that explain them."""

    seed = Int(230, min=0, none=True, help="Seed of the start of the search.")
    normalisation = Choice(
        ["kernel", "quasi", "ml_iso", "ml_aniso"], default="ml_iso",
        help="How the fall-off with resolution is taken out of the intensities of each set.",
    )  # fmt: skip
    d_min = Float(
        Auto, none=True, min=0, units="angstrom",
        help="Resolution limit of the analysis; Auto ends where <I>/<sigma> and CC1/2 fall below the two limits below.",
    )  # fmt: skip
    min_i_mean_over_sigma_mean = Float(4.0, min=0, none=True, help="Limit of <I>/<sigma> for d_min=Auto.")
    min_cc_half = Float(0.6, min=0, max=1, none=True, help="Limit of CC1/2 for d_min=Auto.")
    dimensions = Int(Auto, min=2, max=1000, none=True, help="Dimensions of the space of the vectors.")
    use_curvatures = Bool(True, level=2, unavailable=_ENGINE, help="Let the minimiser use second derivatives.")
    weights = Choice(
        ["None", "count", "standard_error"], default="count",
        help="How much each correlation counts: all alike, by its reflections, or by the inverse of its standard error.",
    )  # fmt: skip
    cc_weights = Choice(
        ["None", "sigma"], default="None", help="sigma: in each correlation, weigh reflections by their variances."
    )
    min_pairs = Int(3, min=1, none=True, help="With fewer common reflections a correlation is not known.")

    class minimization(Params, level=1):
        """The search for the vectors."""

        engine = Choice(["scitbx", "scipy"], default="scipy", unavailable={"scitbx": _ENGINE}, help="Minimiser.")
        max_iterations = Int(100, min=1, max=10_000_000, none=True, help="Most iterations.")
        max_calls = Int(None, min=1, max=10_000_000, none=True, help="Most evaluations of the residual.")


class SignificantClusters(Params):
    """Clusters in the space of the coordinates, by OPTICS (Ankerst et al. 1999)."""

    min_points_buffer = Float(
        0.5, min=0, max=1, none=True,
        help="First guess of the number of neighbours: this times data sets per dimension, at least 5.",
    )  # fmt: skip
    min_points = Int(5, min=2, none=True, help="Number of neighbours with optimise_input=False.")
    xi = Float(0.05, min=0, max=1, none=True, help="Steepness of the reachability that ends a cluster.")
    max_distance = Float(0.5, min=0, none=True, help="Largest distance of a neighbour.")
    optimise_input = Bool(True, help="Take the number of neighbours with the best silhouette.")

    class noise_penalty(Params, level=1):
        """Score of a clustering: silhouette x (1 - alpha x (fraction of noise)^gamma)."""

        alpha = Float(1.0, max=1, none=True, help="Weight of the noise.")
        gamma = Float(1.5, min=0, none=True, help="Exponent of the fraction of noise.")
