"""The program `spindle search_beam_position`."""

from __future__ import annotations

from typing import Any

from spindle.contracts import Citation, Program, ProgramInputs, ProgramResult, hookimpl
from spindle.params import Auto, Bool, Int, Ints, PathParam, Plugin, Str
from spindle.params import Params as ParamsBase

__all__ = ["SearchBeamPosition"]


class SearchBeamPosition(Program):
    """Find where the direct beam hits the detector, and move the detector there.

    Give experiments (imported.expt) and, for the method default, spots (strong.refl). The method default moves the
    detector until the spots make a lattice; midpoint, maximum and inversion look at the images instead, need no
    spots, and take images in place of experiments. The other models stay as they are.

        spindle search_beam_position imported.expt strong.refl
        spindle search_beam_position imported.expt method=midpoint
    """

    citations = (
        Citation(
            "Sauter, N. K. & Grosse-Kunstleve, R. W. & Adams, P. D.",
            2004,
            "Robust indexing for automatic data collection",
            "J. Appl. Cryst.",
            "37",
            "399-409",
            "10.1107/S0021889804005874",
        ),
    )

    class Params(ParamsBase):
        """The search for the beam position."""

        method = Plugin(
            "beam_position",
            default="default",
            help="How the beam position is found: default from spots, the others from images.",
        )
        nproc = Int(Auto, max=4_096, auto=True, min=1, none=True, help="Number of threads; Auto takes mp.nproc.")
        plot_search_scope = Bool(False, help="Write a page with a plot of what was searched to output.plot.")
        image_range = Ints(
            None, size=2, min=1, multiple=True,
            help="First and last image number to use; may be repeated. All images when not given.",
        )  # fmt: skip
        seed = Int(42, min=0, none=True, help="Seed of the random choice of spots.")

        class projection(ParamsBase):
            """What the methods that look at images see of them."""

            method_x = Plugin(
                "beam_position",
                default=None,
                none=True,
                level=1,
                help="Method for the fast axis; as method when not given.",
            )
            method_y = Plugin(
                "beam_position",
                default=None,
                none=True,
                level=1,
                help="Method for the slow axis; as method when not given.",
            )
            per_image = Bool(
                False, help="Find the centre of every image by itself, list them in output.json, and use their median."
            )
            max_images = Int(
                20, min=1, max=1_000_000, help="So many images, spread over the range, are looked at together at most."
            )
            exclude_pixel_range_x = Ints(
                None, size=2, min=0, multiple=True, units="pixels",
                help="Columns to leave out, from the first up to but without the second; may be repeated.",
            )  # fmt: skip
            exclude_pixel_range_y = Ints(
                None, size=2, min=0, multiple=True, units="pixels",
                help="Rows to leave out, from the first up to but without the second; may be repeated.",
            )  # fmt: skip
            bad_pixel_threshold = Int(
                None, min=1, none=True, units="counts",
                help="Pixels with higher values are left out; the detector's trusted range applies anyhow.",
            )  # fmt: skip

        class output(ParamsBase):
            """Files to write."""

            experiments = PathParam("optimised.expt", help="The experiments with the detector moved.")
            plot = PathParam("beam_search.html", help="Page with plots, written with plot_search_scope=True.")
            json = PathParam(
                "beam_positions.json", help="Centres of all images, written with projection.per_image=True."
            )
            log = Str("spindle.search_beam_position.log", none=True, help="Log file.")

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Params, context: Any) -> ProgramResult:
        """Search; see the class."""
        from .workflow import search

        return search(inputs, params, context)
