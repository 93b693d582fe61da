"""Parameters of `spindle image_viewer`."""

from __future__ import annotations

from spindle.params import Auto, Bool, Choice, Int, Params, PathParam, UnrecordedParams

__all__ = ["ImageViewerParams"]


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
    stack_images = Int(1, min=1, max=10_000, none=True, level=2, help="So many images are shown as one.")
    stack_mode = Choice(["max", "mean", "sum"], "sum", level=2, help="What is shown of several images.")
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

    class format(Params, level=2):
        """How images are read that are given instead of an experiment list."""

        multi_panel = Bool(False, help="One panel per detector module, as for spindle import.")
