"""Parameters of `spindle find_spots`."""

from __future__ import annotations

from spindle.params import Auto, Bool, Float, Int, Ints, Multiprocessing, Params, Plugin, Str
from spindle_lib_image_ranges import params as ranges
from spindle_lib_importing.params import Tolerances
from spindle_lib_masks.rules import MaskingParams

__all__ = ["FindSpotsParams"]


_ONE_BY_ONE = "images are handed to the workers one by one"


class FindSpotsParams(Params):
    """Find the spots of a sequence of images."""

    class input(Params, level=2):
        """How images are sorted that are given instead of an experiment list."""

        class tolerance(Tolerances, level=2):
            """How much the models of two images may differ and still be the same model."""

    class output(Params):
        """What is written."""

        reflections = Str("strong.refl", help="The spots.")
        shoeboxes = Bool(
            True, help="Keep the pixels of each spot in the file; needed by image viewers, not by indexing."
        )
        experiments = Str(
            None, help="Also write the experiment list, which is wanted when images were given instead of one."
        )
        log = Str("spindle.find_spots.log", help="Log file.")

    maximum_trusted_value = Float(
        None, units="counts", help="Highest pixel value to use, in place of the detector's.", level=2
    )
    per_image_statistics = Bool(
        False, help="Print a table of spots, spots outside ice rings and total intensity per image."
    )

    watch = Bool(
        False,
        help="Follow series that are still being written: wait for each image, to watch_images of each series or until none "
        "comes for watch_timeout. output.experiments= is needed where nobody has said how many images there will be.",
    )
    watch_timeout = Float(
        60.0, min=0.1, max=86400, units="s", help="A series that is watched is over when no image has come for so long."
    )
    watch_images = Int(
        None, min=1, max=1000000, help="Images that each series that is watched will have; by default nobody knows."
    )

    class spotfinder(Params):
        """How spots are found."""

        class lookup(Params):
            """Files with a value for each pixel."""

            mask = Str(
                None,
                help="Mask file (.npz or .h5, True is good), on top of the images' own; see spindle generate_mask.",
            )

        write_hot_mask = Bool(False, help="Write a mask of the pixels that are strong on every image.")
        hot_mask_prefix = Str("hot_mask", help="Beginning of the names of those mask files; a number and .npz follow.")
        force_2d = Bool(False, help="Do not join spots of neighbouring images.")
        scan_range = Ints(None, size=2, multiple=True, help="First and last image number to search; may be repeated.")
        region_of_interest = Ints(
            None, size=4, units="px", help="Search only x0, x1, y0, y1 (half open) of each panel."
        )
        exclude_images = ranges.exclude_images(level=0)
        exclude_images_multiple = ranges.exclude_images_multiple()
        compute_mean_background = Bool(
            False, help="Print the mean of the good pixels that are not strong, for each image."
        )

        class filter(MaskingParams):
            """Which spots and pixels are dropped."""

            min_spot_size = Int(
                Auto, min=1, help="Fewest strong pixels of a spot; Auto is 3 for pixel-array detectors, else 6."
            )
            max_spot_size = Int(1000, min=1, help="Most strong pixels of a spot.")
            max_separation = Float(
                2.0,
                min=0,
                none=True,
                units="px",
                help="Drop spots whose brightest pixel is farther from the centroid.",
                level=1,
            )
            max_strong_pixel_fraction = Float(
                0.25,
                min=0,
                max=1,
                none=True,
                help="Stop when more than this fraction of an image is strong, or leave it out if it is one of several stills; "
                "1 allows all.",
            )

            automatic_mask = Bool(
                False,
                help="Also mask shadows, dead and hot pixels that some 60 images of each sweep reveal (not in DIALS).",
                level=1,
            )

            class background_gradient(Params, level=2):
                """Drop spots on a steep background."""

                filter = Bool(
                    False, help="Fit a plane to the surroundings of each spot; the images are read a second time."
                )
                background_size = Int(
                    2, min=1, max=1000, units="px", help="Width of the frame around the spot that is fitted."
                )
                gradient_cutoff = Float(
                    4.0, min=0, units="counts/px", help="Drop the spot if the plane is steeper along x or y."
                )

            class spot_density(Params, level=2):
                """Drop spots in crowded parts of the detector."""

                filter = Bool(False, help="Compare the numbers of spots in 50 x 50 parts of the detector.")

        class mp(Multiprocessing):
            """Where the work is done."""

            chunksize = Int(Auto, min=1, none=True, unavailable=_ONE_BY_ONE, help="Images of a task.")
            min_chunksize = Int(20, min=1, none=True, unavailable=_ONE_BY_ONE, help="Fewest images of a task.")

        class centroid(Params):
            """Positions of spots."""

            algorithm = Plugin("centroid", default="simple", help="Centroid algorithm.", level=1)

        class threshold(Params):
            """How strong pixels are told from the background."""

            algorithm = Plugin("threshold", default="dispersion_extended", help="Threshold algorithm.")
