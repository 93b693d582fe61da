"""The plugin: which files begin a series of TVIPS."""

from __future__ import annotations

from pathlib import Path

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.format import FormatOptions, ImageReader

from .series import part_number, part_path, read_header


class TvipsFormat(Algorithm):
    """Series of images of TVIPS TemCam cameras (name_000.tvips and the files that continue it)."""

    @hookimpl
    def understand(self, path: Path, head: bytes) -> bool:
        """The first file of a series."""
        return read_header(head) is not None

    @hookimpl
    def refusal(self, path: Path, head: bytes) -> str:
        """Why a file is not read; "" when it is."""
        if read_header(head) is not None:
            return ""
        if part_number(path):
            return f"continues {part_path(path, 0).name}, which brings it along: give that one alone"
        return "no header of a TVIPS series"

    @hookimpl
    def open_image(self, path: Path, head: bytes, options: FormatOptions) -> ImageReader:
        """Open a series; see `spindle.contracts.format.FormatSpec`."""
        from .reader import TvipsReader

        return TvipsReader(path, head, options)
