"""The program `spindle image_viewer`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import ParameterError
from spindle.params import Auto

from .params import ImageViewerParams

if TYPE_CHECKING:
    from spindle.execution import RunContext
    from spindle.models import Experiments

__all__ = ["ImageViewer"]


class ImageViewer(Program):
    """Look at diffraction images in the browser.

    A page on this machine alone shows images where they are, of any format and number of panels: zoom to the pixel, brightness and
    colours, sums of images, rings of resolution. Over ssh, forward the port that is printed. Without files the page lists the current folder.

        spindle image_viewer image_0001.cbf
        spindle image_viewer imported.expt color_scheme=invert show_resolution_rings=True
        spindle image_viewer
    """

    class Params(ImageViewerParams):
        """Look at images."""

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Any, context: RunContext) -> ProgramResult:
        """Serve the page until Ctrl-C; see `spindle.contracts.program.ProgramSpec`."""
        from spindle_lib_serving.listening import listen

        from .desk import Desk
        from .image_sets import ImageSets
        from .serving import serve

        sets = ImageSets(params.projection)
        if inputs.files or inputs.experiments:
            sets.add(_experiments(inputs, params, context))
        desk = Desk(sets, _allowed(inputs, params), lambda paths: _opened(paths, params, context), _settings(params))
        with listen(context.program, "127.0.0.1", params.port) as listener:
            return serve(listener, desk, params.browser, context)


def _experiments(inputs: ProgramInputs, params: Any, context: RunContext) -> Experiments:
    from spindle_lib_importing.experiments import experiments_of

    return experiments_of(context, inputs, **{"format.multi_panel": params.format.multi_panel})


def _opened(paths: list[Path], params: Any, context: RunContext) -> Experiments:
    """What files hold that are opened from the page."""
    from spindle.files import read_experiments

    if all(p.suffix == ".expt" for p in paths):
        parts = [read_experiments(p) for p in paths]
        return type(parts[0])([e for part in parts for e in part])
    return _experiments(ProgramInputs(files=paths), params, context)


def _allowed(inputs: ProgramInputs, params: Any) -> Any:
    from spindle_lib_serving.allowed import AllowedFolders

    for folder in params.allow:
        if not os.path.isdir(folder):
            raise ParameterError(f"allow={folder}: there is no such folder")
    folders = [Path(), *params.allow, *(p.parent for p in inputs.sources)]
    return AllowedFolders(dict.fromkeys(os.path.realpath(f) for f in folders))


def _settings(params: Any) -> dict[str, Any]:
    names = (
        "brightness", "color_scheme", "show_beam_center", "show_resolution_rings", "show_ice_rings", "stack_images", "stack_mode",
    )  # fmt: skip
    return {name: None if (v := getattr(params, name)) is Auto else v for name in names}
