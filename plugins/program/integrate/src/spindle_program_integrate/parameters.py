"""Parameters of `spindle integrate`."""

from __future__ import annotations

from spindle.errors import UserError
from spindle.params import (
    Auto,
    Bool,
    Choice,
    Float,
    Int,
    Ints,
    Multiprocessing,
    Params,
    PathParam,
    Plugin,
    Str,
    walk,
)
from spindle_lib_image_ranges import params as ranges


class IntegrateParams(Params):
    """Parameters of `spindle integrate`."""

    class output(Params):
        """Files."""

        experiments = Str("integrated.expt", help="Experiments with the profile model.")
        reflections = Str("integrated.refl", help="Integrated reflections.")
        output_unintegrated_reflections = Bool(False, help="Also write predictions without any intensity.", level=2)
        log = Str("spindle.integrate.log", help="Log file.")
        report = Str(None, help="Write the tables to this .json file.")
        include_bad_reference = Bool(
            False, help="Append the observed spots that no prediction was found for, flagged bad_reference."
        )

    scan_range = Ints(
        None,
        size=2,
        multiple=True,
        help="Range of array indices (first, end) to integrate; may be given several times.",
    )
    create_profile_model = Bool(
        True, help="Measure the profile model from the spots; False takes the one in the experiments."
    )

    class sampling(Params, level=1):
        """Integrating a part of the predictions only."""

        reflections_per_degree = Float(
            50.0, min=0, max=1e9, none=True, help="Reflections per degree of rotation to keep."
        )
        minimum_sample_size = Int(1000, none=True, help="At least so many.")
        maximum_sample_size = Int(None, min=1, help="At most so many.")
        integrate_all_reflections = Bool(True, help="Keep all; False keeps a random sample.")
        random_seed = Int(0, none=True, help="Seed of the sample.")

    exclude_images = ranges.exclude_images(level=0)

    class integration(Params):
        """How intensities are measured."""

        class lookup(Params):
            """Files about the detector."""

            mask = PathParam(None, help="Mask file (.npz, True is good) in addition to that of the images.")

        class block(Params):
            """Blocks of images, each of which is one task. Results do not depend on them, time and memory do."""

            size = Float(
                Auto,
                none=True,
                min=1e-3,
                help="Images of a block, in the unit below, without those that it shares with its neighbours; Auto: four times "
                "as many as the spots are deep, at least 12.",
            )
            units = Choice(["degrees", "radians", "frames"], "degrees", help="Unit of the size.")
            threshold = Float(
                0.95,
                min=0,
                max=1,
                none=True,
                help="Share of the spots that are no deeper than what blocks overlap by; the pixels of deeper ones are collected from "
                "several blocks.",
            )
            force = Bool(
                False,
                unavailable="images are cut into blocks in any case, also for one worker, so that results do not depend on the number of workers",
                help="Cut also where one worker does all.",
            )
            max_memory_usage = Float(
                0.90,
                min=0,
                max=1,
                none=True,
                help="Share of the available memory that pixels of reflections may take, at most 0.7 GB; beyond it the "
                "images are read "
                "several times.",
            )

        use_dynamic_mask = Bool(
            True,
            help="Leave out what parts of the goniometer shadow while the crystal turns, as the images were imported with.",
        )

        mask_neighbours = Bool(
            True,
            level=1,
            help="Keep pixels under predicted neighbours out of the background, and flag overlaps. False is what DIALS does.",
        )

        class debug(Params):
            """Intermediate results."""

            class reference(Params):
                """Reference profiles."""

                filename = Str("reference_profiles.npz", help="Where to.")
                output = Bool(False, help="Write the reference profiles.")

            during = Choice(["modelling", "integration"], "integration", help="Pass whose shoeboxes are kept.")
            output = Bool(False, help="Keep the shoeboxes.")
            separate_files = Bool(
                True, help="Write them to shoeboxes.refl; False keeps them in the integrated reflections."
            )
            delete_shoeboxes = Bool(False, help="Drop the shoeboxes from the integrated reflections before writing.")
            select = Str(None, help="Only reflections for which '<column> <operator> <number>' holds, e.g. 'd<2.5'.")
            split_experiments = Bool(True, help="One shoebox file per experiment, shoeboxes_<n>.refl.")

        integrator = Choice(
            ["auto", "3d", "flat3d", "2d", "single2d", "stills", "3d_threaded"],
            "auto",
            level=3,
            unavailable=dict.fromkeys(
                ["flat3d", "2d", "single2d"],
                "3d fits all pixels of a spot on all its images at once, each with its own weight; adding images up or fitting each by itself "
                "has larger errors",
            ),
            help="auto: stills for stills, 3d for rotation images; 3d_threaded is 3d. Another than fits the images is refused.",
        )

        class profile(Params):
            """Profile fitting."""

            fitting = Bool(True, help="Fit profiles.")
            valid_foreground_threshold = Float(
                0.75, min=0, max=1, none=True, level=2, help="Least share of good foreground pixels."
            )
            sigma_b_multiplier = Float(
                2.0, min=1, max=20, none=True, level=3, help="Size of the shoebox in units of the foreground."
            )

            class validation(Params):
                """Cross-validation of reference profiles: parts of the strong spots, fitted with what the others teach."""

                number_of_partitions = Int(1, min=1, none=True, help="Number of parts; 1 validates nothing.")
                min_partition_size = Int(
                    100, min=1, none=True, help="Fewest spots of a part; with fewer nothing is validated."
                )

        class filter(Params, level=1):
            """Reflections that are left out or flagged."""

            min_zeta = Float(0.05, min=0, max=1, none=True, help="Least |zeta| (cosine between rotation axis and e1).")
            automatic_mask = Bool(
                True,
                help="Mask shadows, dead and hot pixels that some dozens of images of each sweep reveal (not in DIALS).",
                level=1,
            )
            lost_images = Bool(
                True,
                help="Leave out images on which the beam was lost or weak: their background falls between one image and the next and "
                "comes back in the same way (not in DIALS). False tells of them and keeps them.",
                level=1,
            )
            least_beam = Float(
                0.7,
                min=0.01,
                max=0.95,
                help="Background of an image, as a share of that of the images around, below which its beam was lost.",
                level=1,
            )
            zingers = Bool(
                True,
                help="Mask single pixels under a spot that exceed its fitted profile and the background far beyond counting statistics: "
                "hits of stray particles (not in DIALS). The spot is fitted without them and has no summed intensity. Needs a profile model "
                "that separates overlapping spots (deconvolution).",
                level=1,
            )
            ice_rings = Bool(False, help="Flag reflections within the resolution of ice rings.")

        class overlaps_filter(Params):
            """Remove overlapping reflections."""

            class foreground_foreground(Params):
                """Foregrounds that share pixels."""

                enable = Bool(False, help="Remove reflections whose foreground is touched by another's.")

            class foreground_background(Params):
                """Foreground on another's background."""

                enable = Bool(False, help="Remove reflections whose shoebox is touched by another's foreground.")

        class mp(Multiprocessing):
            """Where the work is done."""

            class multiprocessing(Params):
                """Splitting."""

                n_subset_split = Int(
                    None,
                    min=1,
                    max=1_000_000,
                    help="Measure the reflections in so many parts, reading the images for each.",
                )

        class summation(Params):
            """Summation."""

            detector_gain = Float(
                1.0, none=True, help="Counts per photon beyond the panels' gain: variances are multiplied by it."
            )

        class background(Params):
            """Background under spots."""

            algorithm = Plugin("background", default="Auto", help="Background model.")

        class centroid(Params):
            """Centroids."""

            algorithm = Plugin("centroid", default="simple", help="Centroid algorithm.")

    class profile(Params):
        """Profile model."""

        algorithm = Plugin("profile", default="gaussian_rs", help="Model of the shape of spots.")

    class prediction(Params):
        """Prediction."""

        d_min = Float(None, help="High resolution limit (A); None: the corners of the detector.")
        d_max = Float(None, help="Low resolution limit (A).")
        margin = Int(
            1,
            none=True,
            unavailable="all indices to d_min are tried, there is nothing to widen",
            help="Indices that are tried beyond the limit.",
        )
        force_static = Bool(False, help="Predict with the static crystal although scan-varying models are there.")
        follow_spots = Bool(
            True,
            level=1,
            help="Move predictions by what the nearest strong spots say, where parts of the detector are displaced and that makes them "
            "better (not in DIALS).",
        )
        padding = Float(
            1.0,
            min=0,
            max=180,
            none=True,
            units="degrees",
            help="Rotation beyond the scan for which reflections are predicted.",
        )

    class significance_filter(Params, level=1):
        """Cut where the mean I / sigma falls too low."""

        enable = Bool(False, help="Apply the filter.")
        d_min = Float(None, help="High resolution limit of the bins; None: that of the data.")
        n_bins = Int(20, max=10_000, none=True, help="Number of resolution bins.")
        isigi_cutoff = Float(1.0, none=True, help="Least mean I / sigma of a bin.")

    class absorption_correction(Params, multiple=True):
        """Absorption by a sample support, or by other bodies in the beam; given again for each of them."""

        apply = Bool(False, help="Apply the correction.")
        algorithm = Plugin("absorption", default="fuller_kapton", help="Kind of body.")


#: What stills do not have, and why.
NOT_FOR_STILLS = {
    "scan_range": "each is an image of its own; choose images with exclude_images or spindle slice_sequence",
    "integration.block": "blocks are of ten images",
    "integration.filter.lost_images": "there is no neighbour to compare the background with",
    "integration.filter.least_beam": "there is no neighbour to compare the background with",
    "integration.filter.min_zeta": "nothing rotates",
    "integration.profile.validation": "no reference profiles are learned",
    "integration.debug.reference": "no reference profiles are learned",
    "prediction.force_static": "nothing varies with a scan",
    "prediction.padding": "nothing rotates",
}


def check_params(params: IntegrateParams) -> None:
    """Raise for settings that contradict each other."""
    p = params.integration
    if p.integrator == "stills":
        raise UserError("integration.integrator=stills: these are rotation images; leave it out")
    filters = p.overlaps_filter
    if not p.mask_neighbours and (filters.foreground_foreground.enable or filters.foreground_background.enable):
        raise UserError(
            "integration.mask_neighbours=False: the overlaps filter needs the neighbours marked; leave it True"
        )


def check_stills_params(params: IntegrateParams) -> None:
    """Raise for settings that mean nothing to stills."""
    changed = {entry.path for entry in walk(params) if entry.is_modified}
    for name, why in NOT_FOR_STILLS.items():
        if any(path == name or path.startswith(f"{name}.") for path in changed):
            raise UserError(f"integrate: {name} has no meaning for stills: {why}; leave it out")
    if params.integration.integrator not in ("auto", "stills"):
        raise UserError(
            f"integration.integrator={params.integration.integrator}: these are stills; leave it out, or choose stills"
        )
