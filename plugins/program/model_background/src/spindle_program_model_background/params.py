"""Parameters of `spindle model_background`."""

from __future__ import annotations

from spindle.params import Auto, Bool, Choice, Float, Int, Multiprocessing, Params, PathParam, Plugin, Strings
from spindle_lib_image_ranges import params as ranges

__all__ = ["ModelBackgroundParams"]

NOTHING_MEASURED = "no reflection is measured here: predictions only say where not to look"
STREAMED = "images are streamed: there are no blocks"


class ModelBackgroundParams(Params):
    """Parameters of `spindle model_background`."""

    class output(Params):
        """Files. Prefixes are followed by the number of the set of images and ``.png``; an empty one leaves the picture out."""

        model = PathParam("background.npz", help="The model, for integrate background.gmodel.model=.")
        log = PathParam("spindle.model_background.log", none=True, help="Log file.")
        mean_image_prefix = PathParam("mean", none=True, help="Picture of the mean of each pixel.")
        variance_image_prefix = PathParam("variance", none=True, help="Picture of the variance of each pixel.")
        dispersion_image_prefix = PathParam(
            "dispersion", none=True, help="Picture of variance / mean of each pixel, 1 for photon counts."
        )
        mask_image_prefix = PathParam("mask", none=True, help="Picture of the pixels that were seen on enough images.")
        min_image_prefix = PathParam("min", none=True, help="Picture of the least value of each pixel.")
        max_image_prefix = PathParam("max", none=True, help="Picture of the largest value of each pixel.")
        model_image_prefix = PathParam("model", none=True, help="Picture of the model.")
        polar_model_image_prefix = PathParam("polar", none=True, help="Picture of the model in polar coordinates.")

    class modeller(Params):
        """How the mean image becomes a model."""

        min_images = Int(
            10,
            min=1,
            max=1_000_000,
            help="Fewest images on which a pixel must have been seen; where there are fewer, all of them.",
        )
        filter_type = Choice(["median", "mean"], "median", help="Filter along rings about the beam.")
        kernel_size = Int(50, min=0, max=100_000, help="Half width of the filter, in cells of the polar image.")
        niter = Int(100, min=1, max=100_000, help="Steps of diffusion that smooth what holes are filled with.")
        image_type = Choice(
            ["min", "mean"], "mean", help="What of each pixel over the images is modelled: the least value or the mean."
        )

    exclude_images = ranges.exclude_images(level=0)

    class integration(Params):
        """Where to look."""

        class lookup(Params):
            """Files about the detector."""

            mask = PathParam(None, none=True, help="Mask file (.npz, True is good) in addition to that of the images.")

        class block(Params, unavailable=STREAMED):
            """Memory."""

            size = Float(Auto, none=True, auto=True, help="Size of the blocks.")
            units = Choice(["degrees", "radians", "frames"], "degrees", help="Unit of the size.")
            threshold = Float(0.95, min=0, max=1, none=True, help="Share of the reflections that fit.")
            force = Bool(False, help="Take the size that was given.")
            max_memory_usage = Float(0.90, min=0, max=1, none=True, help="Share of the memory.")

        use_dynamic_mask = Bool(
            True, unavailable="no format describes shadows that move", help="Mask shadows that move."
        )

        class debug(Params, unavailable=NOTHING_MEASURED):
            """Intermediate results of integration."""

            class reference(Params, unavailable=NOTHING_MEASURED):
                """Reference profiles."""

                filename = PathParam("reference_profiles.npz", help="Where to.")
                output = Bool(False, help="Write the reference profiles.")

            during = Choice(["modelling", "integration"], "integration", help="Pass whose shoeboxes are kept.")
            output = Bool(False, help="Keep the shoeboxes.")
            separate_files = Bool(True, help="In files of their own.")
            delete_shoeboxes = Bool(False, help="Delete them at the end.")
            select = Strings(None, none=True, help="Which.")
            split_experiments = Bool(True, help="A file for each experiment.")

        integrator = Choice(
            ["auto", "3d", "flat3d", "2d", "single2d", "stills", "3d_threaded"], "auto",
            unavailable=NOTHING_MEASURED, help="Kind of integration.", level=3,
        )  # fmt: skip

        class profile(Params, unavailable=NOTHING_MEASURED):
            """Profile fitting."""

            fitting = Bool(True, help="Fit profiles.")
            valid_foreground_threshold = Float(
                0.75, min=0, max=1, none=True, help="Least valid part of a spot.", level=2
            )
            sigma_b_multiplier = Float(2.0, min=1, none=True, help="Width of shoeboxes.", level=3)

            class validation(Params, unavailable=NOTHING_MEASURED):
                """Cross-validation."""

                number_of_partitions = Int(1, min=1, none=True, help="Parts.")
                min_partition_size = Int(100, min=1, none=True, help="Fewest spots of a part.")

        class filter(Params, level=1, unavailable=NOTHING_MEASURED):
            """Reflections that are left out."""

            min_zeta = Float(0.05, min=0, max=1, none=True, help="Least zeta.")
            ice_rings = Bool(False, help="Flag spots on ice rings.")

        class overlaps_filter(Params, unavailable=NOTHING_MEASURED):
            """Overlapping reflections."""

            class foreground_foreground(Params, unavailable=NOTHING_MEASURED):
                """Foreground on foreground."""

                enable = Bool(False, help="Leave both out.")

            class foreground_background(Params, unavailable=NOTHING_MEASURED):
                """Foreground on background."""

                enable = Bool(False, help="Leave both out.")

        class mp(Multiprocessing):
            """Where the work is done."""

        class summation(Params, unavailable=NOTHING_MEASURED):
            """Summation."""

            detector_gain = Float(1.0, none=True, help="Counts per photon.")

        class background(Params, unavailable=NOTHING_MEASURED):
            """Background under spots."""

            algorithm = Choice(["Auto", "glm", "gmodel", "null", "simple"], "Auto", help="Background model.")

        class centroid(Params, unavailable=NOTHING_MEASURED):
            """Centroids."""

            algorithm = Choice(["simple"], "simple", help="Centroid algorithm.")

    class profile(Params):
        """Profile model."""

        algorithm = Plugin("profile", default="gaussian_rs", help="Model of the shape of spots.")

    class prediction(Params):
        """Prediction of the spots to look beside."""

        d_min = Float(None, none=True, help="High resolution limit (A); None: the corners of the detector.")
        d_max = Float(None, none=True, help="Low resolution limit (A).")
        margin = Int(
            1, none=True, unavailable="all indices to d_min are tried, there is nothing to widen",
            help="Indices that are tried beyond the limit.",
        )  # fmt: skip
        force_static = Bool(False, help="Predict with the static crystal although scan-varying models are there.")
        padding = Float(
            1.0, min=0, max=180, none=True, units="degrees",
            help="Rotation beyond the scan for which reflections are predicted.",
        )  # fmt: skip
