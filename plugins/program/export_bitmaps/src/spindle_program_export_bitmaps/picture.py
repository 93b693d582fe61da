"""The picture of one image, and the file it is written to."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np

from spindle.errors import UserError
from spindle.images import ImageSequence, trusted_mask
from spindle_lib_pictures.canvas import Canvas
from spindle_lib_pictures.display import Display, bin_codes, codes_of, codes_of_flags, contrast_level, palette

__all__ = ["Painter", "save_picture"]

# The JPEG standard knows no larger pictures.
_LARGEST_JPEG = 65500


class Painter:
    """Paints images as parameters say; may be used by several threads at once.

    Parameters
    ----------
    display : Display
    params : ExportBitmapsParams
    """

    def __init__(self, display: Display, params: Any) -> None:
        self.display, self.params = display, params
        self.palette = palette(params.colour_scheme)
        self._local = threading.local()
        self._canvases: dict[int, Canvas] = {}

    def __reduce__(self) -> tuple[type, tuple[Display, Any]]:
        return Painter, (self.display, self.params)

    def add(self, sequence: ImageSequence) -> None:
        """Prepare for the images of a sequence."""
        experiment = sequence.experiment
        self._canvases[id(sequence)] = Canvas(
            experiment.detector, experiment.beam, self.params.projection, self.params.padding
        )
        sequence.masks  # noqa: B018  read once, before the threads start

    def paint(self, sequence: ImageSequence, index: int) -> np.ndarray:
        """Codes (rows, columns) uint16 of image `index` of a sequence, for `palette`."""
        params, display, local = self.params, self.display, self._local
        # Reading into the same memory again is faster, as long as nothing but this function holds it.
        kept = getattr(local, "panels", None)
        panels = sequence.read(index, kept)
        local.panels = panels
        shown: list[np.ndarray] | list[None] = [None] * len(panels)
        values = panels
        if params.show_mask or display.what != "image":
            masks = self._masks(sequence, panels)
            values = [display.of(p, m) for p, m in zip(panels, masks, strict=True)]
            shown = masks if params.show_mask else shown
        if display.is_flag:
            codes = [codes_of_flags(v > 0, m) for v, m in zip(values, shown, strict=True)]
        else:
            level = contrast_level(values)
            overload = params.saturation if params.saturation and display.what == "image" else None
            codes = [codes_of(v, level, params.brightness, m, overload) for v, m in zip(values, shown, strict=True)]
        if id(sequence) not in self._canvases:  # in another process
            self.add(sequence)
        return bin_codes(self._canvases[id(sequence)](codes), params.binning)

    def _masks(self, sequence: ImageSequence, panels: list[np.ndarray]) -> list[np.ndarray]:
        """Good pixels of each panel: those of the static mask within the trusted range."""
        return [
            trusted_mask(pixels, static, *panel.trusted_range, np.empty(pixels.shape, np.bool_))
            for pixels, static, panel in zip(panels, sequence.masks, sequence.experiment.detector, strict=True)
        ]


def save_picture(codes: np.ndarray, colours: np.ndarray, path: Path, kind: str, params: Any) -> None:
    """Write a picture.

    Parameters
    ----------
    codes : (rows, columns) uint16
    colours : (n, 3) uint8
        Red, green and blue of each code.
    path : Path
    kind : "png", "jpeg" or "tiff"
    params : ExportBitmapsParams

    Raises
    ------
    UserError
        If the picture is too large for the format.
    """
    from PIL import Image

    if kind == "jpeg" and max(codes.shape) > _LARGEST_JPEG:
        raise UserError(
            f"{codes.shape[1]} x {codes.shape[0]} pixels are too many for a JPEG file ({_LARGEST_JPEG} each way); choose "
            "output.format=png or a larger binning"
        )
    used = np.zeros(len(colours), np.bool_)
    used[codes] = True
    names = np.flatnonzero(used)
    if np.all(colours[names] == colours[names, :1]):
        picture = Image.fromarray(colours[:, 0][codes])
    elif kind != "jpeg" and len(names) <= 256:
        # One byte per pixel and a table of the colours: the same picture, a third of the work.
        place = np.zeros(len(colours), np.uint8)
        place[names] = np.arange(len(names))
        picture = Image.frombytes("P", codes.shape[::-1], place[codes].tobytes())
        picture.putpalette(colours[names].tobytes())
    else:
        picture = Image.fromarray(colours[codes])
    options = {"png": {"compress_level": params.png.compress_level}, "jpeg": {"quality": params.jpeg.quality}}
    picture.save(path, kind.upper(), **options.get(kind, {}))
