"""Parameters of `spindle image_viewer`."""

from __future__ import annotations

from spindle.params import (
    Auto,
    Bool,
    Choice,
    Float,
    Int,
    Ints,
    Params,
    PathParam,
    Plugin,
    Str,
    UnitCell,
    UnrecordedParams,
)
from spindle_lib_importing.params import Tolerances
from spindle_lib_masks.rules import MaskingParams

__all__ = ["ImageViewerParams"]

# Those of spindle_lib_pictures.display, whose import would make the help slow; a test keeps them in step.
DISPLAYS = ("image", "mean", "variance", "dispersion", "sigma_b", "sigma_s", "threshold", "global_threshold")
_NO_NETWORK = "the viewer asks no other machine; give the cell, calibrate_unit_cell.unit_cell=<a,b,c,alpha,beta,gamma>"


class ImageViewerParams(UnrecordedParams):
    """What the page shows first; all of it can be changed there."""

    brightness = Int(
        10,
        min=1,
        max=100_000,
        none=True,
        help="Contrast. At 100 the strongest tenth of the pixels has the upper 3/5 of the scale; at 10 spots ten times as strong.",
    )
    color_scheme = Choice(
        ["grayscale", "rainbow", "heatmap", "invert"],
        "grayscale",
        help="Grayscale has dark spots on white, invert bright spots on black.",
    )
    projection = Choice(
        ["lab", "image"],
        "image",
        help="Detectors of several panels: as in the file, or as seen from the sample with y up.",
    )
    show_beam_center = Bool(True, help="Mark where the beam hits.")
    show_resolution_rings = Bool(False, help="Draw rings of equal resolution.")
    show_ice_rings = Bool(False, help="Draw the rings of hexagonal ice.")
    show_ctr_mass = Bool(True, help="Mark the centroids of strong spots.")
    show_max_pix = Bool(True, help="Mark the brightest pixel of strong spots, where the file has their pixels.")
    show_all_pix = Bool(True, help="Mark the pixels of strong spots, where the file has them.")
    show_threshold_pix = Bool(False, help="Mark the strong pixels that the threshold finds with the parameters below.")
    show_shoebox = Bool(True, help="Draw the boxes of reflections.")
    show_predictions = Bool(True, help="Mark where reflections were predicted.")
    show_miller_indices = Bool(False, help="Write the indices of indexed reflections.")
    show_indexed = Bool(False, help="Of strong spots show the indexed ones only.")
    show_integrated = Bool(False, help="Of predicted reflections show the integrated ones only.")
    show_mask = Bool(False, help="Show masked pixels in magenta.")
    show_basis_vectors = Bool(True, help="Draw a*, b* and c* of the crystals from the beam centre.")
    show_rotation_axis = Bool(False, help="Draw the rotation axis through the beam centre.")
    basis_vector_scale = Int(10, min=1, max=20, none=True, help="Length of the drawn axes.")
    display = Choice(
        DISPLAYS,
        "image",
        help="The image; mean, variance or index of dispersion of the window around each pixel; or the pixels that pass "
        "the tests of the threshold 'dispersion'.",
    )
    nsigma_b = Float(6.0, min=0, none=True, help="The window varies too much above this many standard deviations.")
    nsigma_s = Float(
        3.0, min=0, none=True, help="A pixel stands out from its window above this many standard deviations."
    )
    global_threshold = Float(0.0, min=0, none=True, units="counts", help="Strong pixels are above it.")
    kernel_size = Ints((3, 3), max=500, size=2, min=1, help="Half sizes of the window (slow, fast): 3 is 7 pixels.")
    min_local = Int(2, none=True, help="Fewest good pixels of a window; 0 demands the whole window.")
    gain = Float(1.0, min=0, none=True, help="Counts per photon.")
    n_iqr = Int(
        6,
        min=0,
        none=True,
        help="Of the threshold radial_profile: strong pixels are above the median by so many interquartile ranges.",
    )
    blur = Choice(["narrow", "wide"], None, none=True, help="Of the threshold radial_profile: smooth the image before.")
    n_bins = Int(
        100,
        min=1,
        max=65535,
        none=True,
        help="Of the threshold radial_profile: rings between the least and the largest angle.",
    )
    stack_images = Int(1, min=1, max=10_000, none=True, level=2, help="So many images are shown as one.")
    stack_mode = Choice(["max", "mean", "sum"], "sum", level=2, help="What is shown of several images.")
    d_min = Float(None, min=0, units="A", help="Show strong spots and predictions to this resolution.")
    mask = PathParam(None, help="Mask file, of spindle generate_mask, to use for all images.")

    class powder_arcs(Params):
        """Rings of a known structure."""

        show = Bool(
            False, unavailable=_NO_NETWORK, help="Draw the powder rings of a structure of the Protein Data Bank."
        )
        code = Str(None, none=True, unavailable=_NO_NETWORK, help="Its code.")

    calibrate_silver = Bool(False, help="Draw the rings of silver behenate, 58.38 A and its fractions.")

    class calibrate_pdb(Params):
        """Rings of a known structure."""

        code = Str(None, none=True, unavailable=_NO_NETWORK, help="Code of a structure of the Protein Data Bank.")
        d_min = Float(
            20.0, min=0, none=True, unavailable=_NO_NETWORK, units="A", help="Draw its rings to this resolution."
        )

    class calibrate_unit_cell(Params):
        """Rings of a unit cell."""

        unit_cell = UnitCell(None, help="Draw the powder rings of this cell.")
        d_min = Float(20.0, min=0, none=True, units="A", help="Draw rings to this resolution; None: to the corner.")
        space_group = Str(None, help="Leave out the rings that its absences forbid.")
        show_hkl = Ints(
            None, size=3, min=-10_000, max=10_000, multiple=True, help="Draw this ring only; may be repeated."
        )

    class format(Params, level=2):
        """How images are read that are given instead of an experiment list."""

        dynamic_shadowing = Bool(
            Auto,
            unavailable={True: "the viewer shows the pixels in moving shadows, too"},
            help="Mask the shadow of the goniometer.",
        )
        multi_panel = Bool(False, help="One panel per detector module, as for spindle import.")

    class masking(MaskingParams):
        """Which pixels are masked from the start; the page changes it and writes mask files."""

    class output(UnrecordedParams.output):
        """What the page writes when it is told to."""

        mask = PathParam(None, help="Mask file; pixels.npz if the page does not say otherwise.")
        mask_params = PathParam(
            None,
            help="Parameters of spindle generate_mask that make the mask; mask.phil if the page does not say otherwise.",
        )

    predict_reflections = Bool(
        False, help="Predict the reflections of all crystals, where no file with predictions is given."
    )

    class profile(Params):
        """Profile model, which makes the boxes of predictions."""

        algorithm = Plugin("profile", default="gaussian_rs", help="Profile model of experiments that name none.")

    class prediction(Params):
        """What is predicted."""

        d_min = Float(None, min=0, units="A", help="High resolution limit; None: the corners of the detector.")
        d_max = Float(None, min=0, units="A", help="Low resolution limit.")
        margin = Int(
            1,
            none=True,
            unavailable="indices near the sphere of reflection are found without a margin",
            help="Indices around those that may diffract that are looked at, too.",
        )
        force_static = Bool(False, help="Predict with the static crystal although scan-varying models are there.")
        padding = Float(
            1.0,
            min=0,
            none=True,
            units="deg",
            unavailable="the images that are shown are predicted, and nothing beside them",
            help="Predict for so much rotation beside the scan, too.",
        )

    load_models = Bool(
        True,
        unavailable={False: "models are read in no time; what is slow, images, is read when it is seen"},
        help="Read the models of experiments.",
    )
    zmq_endpoint = Str(
        None,
        none=True,
        level=3,
        unavailable="other programs open images in the page by its address, #set=<number>&image=<number>",
        help="Address on which other programs ask for images.",
    )

    class input(Params, level=2):
        """How files become experiments."""

        class tolerance(Tolerances, level=2):
            """How much the models of two images may differ and still be the same model."""

    first_page = Choice(
        ["images", "lattice", "geometry"],
        "images",
        help="Page that opens: images, spots and lattices in reciprocal space, or detector and goniometer; each leads to the others.",
    )
    image = Int(1, min=0, max=10_000_000, help="Image that is shown first, by the number that its file has.")
    imageset = Int(0, min=0, max=1_000_000, help="Image set that is shown first, counted from 0.")
    port = Int(None, min=1, max=65535, help="Port to listen on; None takes a free one and prints it.")
    allow = PathParam(
        None,
        multiple=True,
        help="Further folder below which files may be opened from the page; may be repeated. This folder and those of the files "
        "that are given are allowed.",
    )
    browser = Bool(
        Auto, help="Open the browser; Auto does unless this is a session on another machine or without a display."
    )
