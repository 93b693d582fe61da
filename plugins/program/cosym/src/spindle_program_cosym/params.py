"""Parameters of the program `cosym`."""

from __future__ import annotations

from spindle.params import Auto, Bool, Float, Int, PathParam, SpaceGroup, Str
from spindle.params import Params as ParamsBase
from spindle_lib_data_set_correlations.options import CorrelationSearch
from spindle_lib_image_ranges import params as ranges

__all__ = ["CosymParams"]


class CosymParams(CorrelationSearch):
    exclude_images = ranges.exclude_images()
    partiality_threshold = Float(0.4, none=True, help="Leave out reflections recorded to a smaller fraction.")

    class unit_cell_clustering(ParamsBase):
        """Groups of similar cells, of which the largest is used."""

        threshold = Float(
            5000, min=0, none=True, units="A^2",
            help="Cells whose metrics are farther apart than this are of different crystal forms; None takes all.",
        )  # fmt: skip
        log = Bool(False, help="Draw the distances of groups on a logarithmic axis.")

    reference = PathParam(
        None, none=True, level=2,
        help="Intensities whose indexing, setting and space group are taken: MTZ or mmCIF of reflections, or coordinates (PDB, mmCIF, "
        "small-molecule CIF), from which they are calculated.",
    )  # fmt: skip

    class reference_model(ParamsBase):
        """Solvent of a macromolecule from whose coordinates intensities are calculated."""

        k_sol = Float(0.35, min=0, max=2, units="e/A^3", help="Density; 0 for none.", level=2)
        b_sol = Float(46.0, min=0, max=500, units="A^2", help="B factor of its edge.", level=2)

    lattice_group = SpaceGroup(
        None, none=True, help="Symmetry of the lattice to take instead of the one found from the cell."
    )
    space_group = SpaceGroup(
        None, none=True, help="Known space group: only the indexings that it leaves open are told apart."
    )
    lattice_symmetry_max_delta = Float(
        5.0,
        min=0,
        units="degrees",
        help="Tolerance on the angle between the direct and the reciprocal axis of a two-fold.",
    )
    best_monoclinic_beta = Bool(True, help="Take I 1 2 1 rather than C 1 2 1 where its beta is closer to 90 degrees.")
    dimensions = Int(
        Auto,
        min=2,
        max=1000,
        none=True,
        help="Dimensions of the space of the vectors; Auto tries 1 to the number of indexings.",
    )
    relative_length_tolerance = Float(
        0.05,
        none=True,
        help="Sets whose cell differs from the median by more than this fraction of a length are left out.",
    )
    absolute_angle_tolerance = Float(2.0, none=True, units="degrees", help="The same for angles.")
    min_reflections = Int(10, min=1, none=True, help="Sets with fewer usable reflections are left out.")

    class output(ParamsBase):
        """Output files."""

        suffix = Str(
            "_reindexed", level=2,
            unavailable="all sets are written into one pair of files; spindle split_experiments makes one of each",
            help="Added to names of files of single sets.",
        )  # fmt: skip
        log = PathParam("spindle.cosym.log", none=True, help="Log file.")
        experiments = PathParam("symmetrized.expt", none=True, help="Experiments in the group found.")
        reflections = PathParam("symmetrized.refl", none=True, help="Reflections in one indexing.")
        json = PathParam("spindle.cosym_scores.json", none=True, help="All numbers.")
        html = PathParam("spindle.cosym.html", none=True, help="Page with tables and plots.")
