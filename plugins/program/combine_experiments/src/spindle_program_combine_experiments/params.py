"""Parameters of `spindle combine_experiments`."""

from __future__ import annotations

from spindle.params import Bool, Choice, Float, Int, Ints, Params, PathParam
from spindle_lib_image_ranges import params as ranges
from spindle_lib_importing.params import Tolerances

MAX_COUNT = 10_000_000


class ReferenceParams(Params):
    """Give all experiments the model of one of them, whose place among all that are given counts from 0."""

    beam = Int(None, min=0, max=MAX_COUNT, help="Take the beam of this experiment.")
    scan = Int(
        None, min=0, max=MAX_COUNT, help="Take the scan of this experiment; those that go must have as many images."
    )
    crystal = Int(None, min=0, max=MAX_COUNT, help="Take the crystal of this experiment.")
    goniometer = Int(None, min=0, max=MAX_COUNT, help="Take the goniometer of this experiment.")
    detector = Int(None, min=0, max=MAX_COUNT, help="Take the detector of this experiment.")
    average_detector = Bool(
        False,
        help="Take one detector for all that is the mean of those given: of every panel, and of every group of panels. "
        "Where wavelengths, gains or trusted ranges differ, there is one for each, at the same place.",
    )
    compare_models = Bool(
        True,
        help="Refuse to exchange a beam, detector, goniometer or scan for one that differs by more than the tolerances.",
    )
    average_hierarchy_level = Int(
        None,
        min=0,
        max=100,
        help="With average_detector, take the mean at one depth of the tree of panels only, 0 being its root, and all else "
        "of the first detector.",
    )

    class tolerance(Tolerances, level=2):
        """By how much models may differ that one of them replaces."""


class ClusteringParams(Params):
    """Write groups of crystals with similar unit cells apart."""

    use = Bool(False, help="Group the crystals by their reduced cells.")
    dendrogram = Bool(False, help="Draw the tree of the cells, to <experiments>_dendrogram.png.")
    threshold = Int(
        1000,
        min=0,
        max=MAX_COUNT,
        none=True,
        units="angstrom^2",
        help="Cells nearer to each other than this distance (Andrews & Bernstein, between squares of lengths) are of one group, "
        "and so are those that a chain of such cells joins.",
    )
    max_clusters = Int(None, min=1, max=MAX_COUNT, help="Write this many groups at most, the largest.")
    exclude_single_crystal_clusters = Bool(True, help="Leave out groups of one crystal.")


class SignificanceParams(Params, level=1):
    """Where the intensities of an experiment end."""

    enable = Bool(
        False,
        help="Leave out the reflections of each experiment beyond the resolution at which its I / sigma falls too low.",
    )
    d_min = Float(None, min=0, units="angstrom", help="High resolution limit of the bins; None: that of the data.")
    n_bins = Int(20, min=1, max=10_000, none=True, help="Number of resolution bins.")
    isigi_cutoff = Float(1.0, none=True, help="Least mean I / sigma of a bin.")


class OutputParams(Params):
    """What is written, and of which experiments."""

    experiments_filename = PathParam("combined.expt", help="The experiments.")
    reflections_filename = PathParam("combined.refl", none=True, help="Their reflections.")
    log = PathParam("spindle.combine_experiments.log", none=True, help="Log file.")
    n_subset = Int(None, min=1, max=MAX_COUNT, help="Keep this many of the experiments.")
    n_subset_method = Choice(
        ["random", "n_refl", "significance_filter"],
        default="random",
        help="Which of them: random, by run.seed; n_refl, those with the most reflections; significance_filter, those with the most "
        "reflections within the resolution at which their I / sigma falls too low.",
    )
    n_refl_panel_list = Ints(None, min=0, max=100_000, help="For n_subset_method=n_refl, count on these panels only.")
    max_batch_size = Int(
        None, min=1, max=MAX_COUNT, level=2, help="Write files of this many experiments at most: combined_000.expt, ..."
    )
    delete_shoeboxes = Bool(False, level=2, help="Leave out the pixels of reflections.")
    min_reflections_per_experiment = Int(
        None, min=0, max=MAX_COUNT, level=2, help="Leave out experiments with fewer reflections."
    )
    max_reflections_per_experiment = Int(
        None, min=0, max=MAX_COUNT, level=2, help="Leave out experiments with more reflections."
    )
    sort_by_imageset_path_and_image_index = Bool(
        False, level=2, help="Put the experiments in the order of their images, by path and number."
    )

    class significance_filter(SignificanceParams):
        """Where the intensities of an experiment end."""


class CombineParams(Params):
    """All parameters."""

    exclude_images = ranges.exclude_images(what="Images whose reflections are left out")

    class reference_from_experiment(ReferenceParams):
        """Give all experiments the model of one of them, whose place among all that are given counts from 0."""

    class clustering(ClusteringParams):
        """Write groups of crystals with similar unit cells apart."""

    class output(OutputParams):
        """What is written, and of which experiments."""
