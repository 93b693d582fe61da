"""Parameters of the program `multiplex`."""

from __future__ import annotations

from spindle.params import (
    Auto,
    Bool,
    Choice,
    Float,
    Int,
    Ints,
    Multiprocessing,
    PathParam,
    ShortName,
    Str,
    Strings,
    UnitCell,
)
from spindle.params import Params as ParamsBase
from spindle_lib_data_set_correlations.options import SignificantClusters
from spindle_lib_image_ranges import params as ranges
from spindle_lib_many_crystals import FilterOptions
from spindle_lib_merging import FreeFlagOptions, ResolutionMetrics

from .steps_params import NPROC, ScalingOptions, SymmetryOptions

__all__ = ["MultiplexParams"]

_BY_EXPERIMENT = "data sets are told apart by their experiments, not by ranges of batches"


class MultiplexParams(ParamsBase):
    class mp(Multiprocessing):
        """Where the work is done."""

    space_group = ShortName("symmetry.space_group", help="Known space group.")
    d_min = ShortName("resolution.d_min", help="Resolution limit instead of the estimated one.")

    class unit_cell_clustering(ParamsBase):
        """Groups of similar cells, of which the largest is used."""

        threshold = Float(
            5000.0, min=0, none=True, units="A^2",
            help="Cells whose metrics are farther apart than this are of different crystal forms; None takes all.",
        )  # fmt: skip
        log = Bool(False, help="Logarithmic axis of distances.")

    scaling = ScalingOptions

    symmetry = SymmetryOptions

    reference = PathParam(
        None, none=True, level=2,
        help="Intensities (MTZ, mmCIF) or coordinates whose space group and indexing are followed.",
    )  # fmt: skip

    class resolution(ResolutionMetrics):
        """Resolution limit of merged data; `spindle estimate_resolution` explains more. The lowest of all limits is taken."""

        d_max = Float(None, min=0, none=True, units="angstrom", help="Low-resolution limit.")
        d_min = Float(None, min=0, none=True, units="angstrom", help="Resolution limit; None estimates it.")
        cc_half_method = Choice(
            ["half_dataset", "sigma_tau"], default="sigma_tau",
            help="CC1/2 of random halves, or from the scatter of equivalents (Assmann et al. 2016).",
        )  # fmt: skip
        nbins = Int(50, min=3, max=10_000, level=1, help="Most shells.")
        labels = Strings(
            None,
            none=True,
            unavailable="experiments and reflections are read, not MTZ files",
            help="Columns of the MTZ file.",
        )

    rescale_after_resolution_cutoff = Bool(False, help="Scale once more, with the data to the estimated limit only.")

    class multi_crystal_analysis(ParamsBase):
        """Statistics."""

        unit_cell = UnitCell(None, none=True, help="Cell for resolutions and files; by default that of the crystals.")
        n_bins = Int(20, min=5, max=10_000, none=True, help="Resolution shells of the statistics.")
        d_min = Float(
            None, min=0, none=True, units="angstrom",
            help="Resolution limit of the comparison of data sets and of the damage; by default that of the merged data.",
        )  # fmt: skip

        class batch(ParamsBase, multiple=True, unavailable=_BY_EXPERIMENT):
            """Names of ranges of batches."""

            id = Str(None, none=True, help="Name.")
            range = Ints(None, size=2, min=0, max=10_000_000, none=True, help="First and last batch.")

    class unit_cell(ParamsBase):
        """Cells."""

        refine = Choice(
            ["two_theta"],
            default=("two_theta",),
            multi=True,
            none=True,
            help="two_theta: refine the cell against 2theta before scaling, for its standard deviations.",
        )

    class two_theta_refine(ParamsBase):
        """Refinement of the cell."""

        combine_crystal_models = Bool(True, help="One cell for all crystals.")

    class clustering(ParamsBase):
        """Groups of data sets that are alike, each scaled and merged by itself."""

        output_clusters = Bool(False, help="Scale and merge the groups.")
        method = Choice(
            ["hierarchical", "coordinate"], default=("hierarchical",), multi=True,
            help="Which groups: branches of a tree, dense places, or both.",
        )  # fmt: skip
        min_cluster_size = Int(5, min=1, max=1_000_000, none=True, help="Fewest data sets.")
        min_completeness = Float(0, min=0, max=1, none=True, help="Least completeness, a fraction.")
        min_multiplicity = Float(0, min=0, none=True, help="Least multiplicity.")
        max_output_clusters = Int(
            10, min=1, max=10_000, none=True, help="Most groups of each type, or pairs of distinct ones."
        )

        class hierarchical(ParamsBase):
            """Branches of trees."""

            method = Choice(
                ["cos_angle", "correlation"],
                default=("cos_angle",),
                multi=True,
                help="Which tree: of angles, of correlations, or both.",
            )
            max_cluster_height = Float(
                100.0, min=0, none=True, help="Largest height of a branch, for the one tree that is chosen."
            )
            max_cluster_height_cc = Float(100.0, min=0, none=True, help="The same, of the tree of correlations.")
            max_cluster_height_cos = Float(100.0, min=0, none=True, help="The same, of the tree of angles.")
            distinct_clusters = Bool(
                False, help="Only pairs of branches that join later: groups without a common data set."
            )

    class filtering(ParamsBase):
        """Removal of what lowers CC1/2."""

        method = Choice(
            ["deltacchalf"], default=None, none=True, help="deltacchalf: remove it, scale again, and so on."
        )
        deltacchalf = FilterOptions

    identifiers = Strings(None, none=True, help="Use only these experiments.")
    dose = Ints(
        None, size=2, min=0, max=10_000_000, none=True, help="Use only these images of every sweep: first, last."
    )
    nproc = Int(Auto, min=1, max=4096, none=True, unavailable=NPROC, help="Number of workers.")
    remove_profile_fitting_failures = Bool(True, help="Leave out sweeps without a single profile-fitted reflection.")

    class r_free_flags(FreeFlagOptions):
        """The test set, which all merged files share."""

        fraction = Float(0.1, min=0.001, max=0.5, help="Share of the test set.")
        extend = Bool(True, none=True, help="Flags by chance for reflections that the reference lacks.")

    significant_clusters = SignificantClusters

    small_molecule = Bool(
        False, level=1, help="Consider all 230 space groups when absences are looked for, and write files for SHELX."
    )
    exclude_images = ranges.exclude_images()
    exclude_images_multiple = ranges.exclude_images_multiple()
    wavelength_tolerance = Float(
        1e-4, min=0, units="angstrom", help="Wavelengths closer than this are one data set of the files."
    )
    seed = Int(42, min=0, none=True, help="Seed of the coordinates of the data sets.")

    class output(ParamsBase):
        """Output files; data are in DataFiles, pages of the steps in LogFiles."""

        log = PathParam("spindle.multiplex.log", none=True, help="Log of all steps.")
        html = PathParam("spindle.multiplex.html", none=True, help="The page.")
        json = PathParam("multiplex.json", none=True, help="All numbers.")
        cleanup = Bool(
            True, help="False: keep the data between the steps and the numbers of each step, in the folder Processing."
        )
        cluster_html = Bool(False, help="A page with the groups of data sets alone, spindle.multiplex_clusters.html.")
        composition = Str(
            None, none=True, level=2, help="Content of the asymmetric unit, such as C6H12O6; writes files for SHELX."
        )
