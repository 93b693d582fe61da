"""The plugin: which files are images of marCCD and mar345 detectors."""

from __future__ import annotations

from pathlib import Path

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.format import FormatOptions, ImageReader

from .header import is_mar345, is_marccd


class MarFormat(Algorithm):
    """Images of marCCD (MX, SX, Rayonix) and mar345 detectors."""

    endings = ("mccd", "mar2300", "mar3450")

    @hookimpl
    def understand(self, path: Path, head: bytes) -> bool:
        """A TIFF file with a marCCD frame header, or a mar345 header."""
        return is_marccd(head) or is_mar345(head)

    @hookimpl
    def refusal(self, path: Path, head: bytes) -> str:
        """Why a file is not read; "" when it is."""
        if self.understand(path, head):
            return ""
        return "neither a TIFF file with a marCCD header at byte 1024 nor 'mar research' at byte 128"

    @hookimpl
    def open_image(self, path: Path, head: bytes, options: FormatOptions) -> ImageReader:
        """Open an image; see `spindle.contracts.format.FormatSpec`."""
        from spindle.images import read_head

        from .reader import Mar345Reader, MarCcdReader

        head = head or read_head(path)
        return Mar345Reader(path, head, options) if is_mar345(head) else MarCcdReader(path, head, options)
