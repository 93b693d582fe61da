"""Parameters of `spindle export_bitmaps`."""

from __future__ import annotations

from spindle.params import Auto, Bool, Choice, Float, FolderParam, Int, Ints, Params, Str

__all__ = ["ExportBitmapsParams"]

# Those of spindle_lib_pictures.display, whose import would make the help slow; a test keeps them in step.
COLOUR_SCHEMES = ("greyscale", "rainbow", "heatmap", "inverse_greyscale")
DISPLAYS = ("image", "mean", "variance", "dispersion", "sigma_b", "sigma_s", "threshold", "global_threshold")


class ExportBitmapsParams(Params):
    """Pictures of images."""

    binning = Int(
        1, min=1, max=1000, help="Width of the groups of pixels that become one, of the colour of the strongest."
    )
    brightness = Float(
        100.0,
        min=0,
        help="Contrast in per cent. At 100 the strongest tenth of the pixels has the upper 3/5 of the scale.",
    )
    colour_scheme = Choice(
        COLOUR_SCHEMES, "greyscale", help="Greyscale has dark spots on white, inverse_greyscale bright spots on black."
    )
    projection = Choice(
        ("lab", "image"),
        "image",
        help="Detectors of several panels: as in the file, or as seen from the sample with y up.",
    )
    padding = Int(
        4,
        min=0,
        max=1000,
        units="px",
        help="Distance of panels whose places in the file are not known (projection=image).",
    )
    imageset_index = Int(None, multiple=True, min=0, help="Only these image sets, counted from 0.", level=2)
    display = Choice(
        DISPLAYS,
        "image",
        help="The image; mean, variance or index of dispersion of the window around each pixel; or the pixels that pass "
        "the tests of the threshold 'dispersion': of the window (sigma_b), of the pixel in it (sigma_s), both and above "
        "the global threshold (threshold), above the global threshold alone.",
    )
    nsigma_b = Float(6.0, min=0, help="The window varies too much above this many standard deviations.")
    nsigma_s = Float(3.0, min=0, help="A pixel stands out from its window above this many standard deviations.")
    global_threshold = Float(0.0, min=0, units="counts", help="Strong pixels are above it.")
    kernel_size = Ints((3, 3), max=500, size=2, min=1, help="Half sizes of the window (slow, fast): 3 is 7 pixels.")
    min_local = Int(2, help="Fewest good pixels of a window; 0 demands the whole window.")
    gain = Float(1.0, min=0, help="Counts per photon in the tests, where the images hold more or less than one.")
    saturation = Int(0, min=0, units="counts", help="Show pixels above it in yellow; 0 shows none so.")
    show_mask = Bool(False, help="Show pixels that are not used (masked or outside of the trusted range) in magenta.")

    class png(Params):
        """PNG files."""

        compress_level = Int(1, min=0, max=9, help="0 is fast, 9 is small; the picture is the same.")

    class jpeg(Params):
        """JPEG files."""

        quality = Int(75, min=1, max=95, help="Higher is better and larger.")

    class format(Params, level=2):
        """How images are read that are given instead of an experiment list."""

        dynamic_shadowing = Bool(
            Auto,
            unavailable={True: "pictures show the pixels in moving shadows, too"},
            help="Mask the shadow of the goniometer.",
        )
        multi_panel = Bool(False, help="One panel per detector module, as for spindle import.")

    class output(Params):
        """What is written."""

        prefix = Str("image", help="Beginning of file names; the image number and the suffix follow.")
        directory = FolderParam(None, help="Folder of the pictures; it is made where there is none.")
        file = Str(None, help="File name of the picture of a single image; its suffix chooses the format.")
        format = Choice(("jpeg", "png", "tiff"), "png", help="Format of the pictures.")
