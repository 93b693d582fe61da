"""The plugin: which files are TIFF images."""

from __future__ import annotations

from pathlib import Path

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.format import FormatOptions, ImageReader

from .header import is_marccd, is_tiff


class TiffFormat(Algorithm):
    """TIFF images of integers or floating-point numbers, one or many per file."""

    endings = ("tif",)

    @hookimpl
    def understand(self, path: Path, head: bytes) -> bool:
        """A TIFF or BigTIFF file that no marCCD wrote."""
        return not self.refusal(path, head)

    @hookimpl
    def refusal(self, path: Path, head: bytes) -> str:
        """Why a file is not read; "" when it is."""
        if not is_tiff(head):
            return "does not begin like a TIFF file"
        return "a marCCD image" if is_marccd(head) else ""

    @hookimpl
    def open_image(self, path: Path, head: bytes, options: FormatOptions) -> ImageReader:
        """Open an image; see `spindle.contracts.format.FormatSpec`."""
        from .reader import TiffReader

        return TiffReader(path, head, options)
