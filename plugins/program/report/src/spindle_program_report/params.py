"""Parameters of `spindle report`."""

from __future__ import annotations

from spindle.params import Auto, Bool, Choice, Float, Floats, Int, Ints, Params, PathParam

__all__ = ["ReportParams"]


class ReportParams(Params):
    """One page about data."""

    grid_size = Ints(
        Auto, size=2, min=1, max=400, help="Bins of maps of the detector in x and y; Auto follows from pixels_per_bin."
    )
    pixels_per_bin = Int(
        40, min=1, max=100000, none=True, units="px", help="Width of the bins of maps of the detector."
    )
    centroid_diff_max = Float(
        None,
        min=0,
        none=True,
        units="px",
        level=1,
        help="Maps of differences of positions are coloured up to it; by default as the values are.",
    )
    images = Int(3, min=0, max=12, help="Pictures of images, with spots and calculated positions on them.")

    class orientation_decomposition(Params):
        """The orientation along the scan as three turns."""

        e1 = Floats((1.0, 0.0, 0.0), size=3, help="Axis of the first turn, in the laboratory.")
        e2 = Floats((0.0, 1.0, 0.0), size=3, help="Axis of the second turn.")
        e3 = Floats((0.0, 0.0, 1.0), size=3, help="Axis of the third turn.")
        relative_to_static_orientation = Bool(
            True,
            help="Turns from the static orientation of the crystal; False: from a crystal with a along x and b in the xy plane.",
        )

    class output(Params):
        """What is written."""

        html = PathParam("spindle.report.html", none=True, help="The page.")
        json = PathParam(None, none=True, help="Everything that is on the page, for scripts.")
        external_dependencies = Choice(
            ("remote", "local", "embed"),
            "embed",
            unavailable={
                "remote": "the page must open from a mail and without a network",
                "local": "the page is one file",
            },
            level=2,
            help="Where the page has its plotting library from: it is inside.",
        )
        log = PathParam("spindle.report.log", none=True, help="Log file.")
