"""The plugin: which files are series of TIA."""

from __future__ import annotations

from pathlib import Path

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.format import FormatOptions, ImageReader

from .series import refusal


class SerFormat(Algorithm):
    """Images and series of FEI's TIA (.ser), with the .emi file beside them."""

    @hookimpl
    def understand(self, path: Path, head: bytes) -> bool:
        """A series of images of a known version."""
        return not refusal(head)

    @hookimpl
    def refusal(self, path: Path, head: bytes) -> str:
        """Why a file is not read; "" when it is."""
        return refusal(head)

    @hookimpl
    def open_image(self, path: Path, head: bytes, options: FormatOptions) -> ImageReader:
        """Open an image; see `spindle.contracts.format.FormatSpec`."""
        from .reader import SerReader

        return SerReader(path, head, options)
