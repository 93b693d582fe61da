"""The plugin: which files are left to fabio."""

from __future__ import annotations

from pathlib import Path

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.format import FormatOptions, ImageReader

from .kinds import kind_of, names


class FabioFormat(Algorithm):
    """Images that fabio reads and no other format: GE, KappaCCD, Esperanto, HiPic, Fit2D."""

    @hookimpl
    def understand(self, path: Path, head: bytes) -> bool:
        """A file of one of the kinds of `kinds`."""
        return kind_of(head) is not None

    @hookimpl
    def refusal(self, path: Path, head: bytes) -> str:
        """Why a file is not read; "" when it is."""
        return "" if kind_of(head) else f"none of {', '.join(names())}"

    @hookimpl
    def open_image(self, path: Path, head: bytes, options: FormatOptions) -> ImageReader:
        """Open an image; see `spindle.contracts.format.FormatSpec`."""
        from .reader import FabioReader

        return FabioReader(path, head, options)
