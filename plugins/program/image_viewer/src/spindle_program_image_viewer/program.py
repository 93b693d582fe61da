"""The program `spindle image_viewer`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl

from .params import ImageViewerParams

if TYPE_CHECKING:
    from spindle.execution import RunContext

__all__ = ["ImageViewer"]


class ImageViewer(Program):
    """Look at diffraction images in the browser.

    A page on this machine alone shows images where they are, of any format and number of panels: zoom to the pixel, brightness and
    colours, sums of images, rings of resolution, spots, predictions and integrated reflections with all that is known of each. Thresholds
    are tried live, masks are drawn, and the page says the command that does the same. Two images can be compared side by side. Over ssh,
    forward the port that is printed. Without files the page lists the current folder. The parameters say what the page shows first.

        spindle image_viewer image_0001.cbf
        spindle image_viewer imported.expt strong.refl color_scheme=invert show_resolution_rings=True
        spindle image_viewer integrated.expt integrated.refl
        spindle image_viewer
    """

    class Params(ImageViewerParams):
        """Look at images."""

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Any, context: RunContext) -> ProgramResult:
        """Serve the page until Ctrl-C; see `spindle.contracts.program.ProgramSpec`."""
        from spindle_lib_serving.listening import listen

        from .serving import serve
        from .start import make_desk

        desk = make_desk(inputs, params, context)
        with listen(context.program, "127.0.0.1", params.port) as listener:
            return serve(listener, desk, params, context)
