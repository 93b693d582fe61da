"""Parameters of the program `correlation_matrix`."""

from __future__ import annotations

from spindle.params import Bool, Choice, Float, Int, PathParam
from spindle.params import Params as ParamsBase
from spindle_lib_data_set_correlations.options import CorrelationSearch, SignificantClusters
from spindle_lib_image_ranges import params as ranges

__all__ = ["CorrelationParams"]


class CorrelationParams(CorrelationSearch):
    exclude_images = ranges.exclude_images()
    partiality_threshold = Float(
        0.4, min=0, max=1, none=True, help="Leave out reflections recorded to a smaller fraction."
    )
    min_reflections = Int(10, min=0, none=True, help="Sets with fewer unique reflections are left out.")
    cc_weights = Choice(
        ["None", "sigma"], default="sigma", help="sigma: in each correlation, weigh reflections by their variances."
    )

    class dimensionality_assessment(ParamsBase, level=1):
        """How the number of dimensions is chosen."""

        outlier_rejection = Bool(True, help="Leave correlations that are far off out of the comparison.")
        maximum_dimensions = Int(50, min=2, max=1000, none=True, help="Most dimensions to compare.")

    class significant_clusters(SignificantClusters):
        """Clusters in the space of the coordinates, by OPTICS (Ankerst et al. 1999)."""

        output = Bool(False, help="Write the experiments and reflections of each cluster.")

    class hierarchical_clustering(ParamsBase):
        """Trees of data sets."""

        linkage_method = Choice(["ward", "average"], default="ward", help="How far apart two groups are.")

    class output(ParamsBase):
        """Output files."""

        log = PathParam("spindle.correlation_matrix.log", none=True, help="Log file.")
        html = PathParam("spindle.correlation_matrix.html", none=True, help="Page with tables and plots.")
        json = PathParam(None, none=True, help="Matrices and trees.")
