"""The program `spindle view`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.params import Auto, Choice, ScopeOf, UnrecordedParams

if TYPE_CHECKING:
    from spindle.execution import RunContext

__all__ = ["View"]


class View(Program):
    """Look at images, lattices, geometry and volumes in the browser.

    One page on this machine alone for everything: images of any format, with spots and predictions, as image_viewer shows them; spots
    and lattices in reciprocal space, to turn, choose and export; detector and goniometer in three dimensions; sections of the volumes of
    rs_mapper. Each leads to the others. Without files it lists the current folder. Over ssh, forward the port that is printed.

        spindle view
        spindle view image_0001.cbf
        spindle view indexed.expt indexed.refl
        spindle view indexed.expt indexed.refl page=lattice
        spindle view rs_mapper_output.mrc
    """

    class Params(UnrecordedParams):
        """What is seen first."""

        page = Choice(
            ["images", "lattice", "geometry"],
            Auto,
            auto=True,
            help="What opens: images, spots and lattices in reciprocal space, or detector and goniometer. Auto takes images where they are, "
            "and reciprocal space where only experiments and reflections are.",
        )
        image_viewer = ScopeOf("program", "image_viewer")

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Any, context: RunContext) -> ProgramResult:
        """Serve the pages until Ctrl-C; see `spindle.contracts.program.ProgramSpec`."""
        page = params.page
        if page is Auto:
            page = params.image_viewer.first_page
            if page == "images" and inputs.reflections and not _has_images(inputs):
                page = "lattice"
        viewer = params.image_viewer.changed({"first_page": page})
        return context.run_program(
            "image_viewer", inputs.experiments, inputs.reflections, files=[*inputs.files], params=viewer
        )


def _has_images(inputs: ProgramInputs) -> bool:
    """Whether the images of any experiment are where it says."""
    from pathlib import Path

    for experiment in inputs.experiments or ():
        images = experiment.imageset
        if images is not None and (
            images.arrays is not None or Path(images.file_of_image(_first(experiment))[0]).exists()
        ):
            return True
    return bool(inputs.files)


def _first(experiment: Any) -> int:
    """Number of the first image."""
    scan, images = experiment.scan, experiment.imageset
    if scan is not None and images.kind == "ImageSequence":
        return int(scan.image_range[0])
    return int((images.image_range or (1,))[0]) if not images.paths else 1
