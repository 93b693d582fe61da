"""The plugin: which files are MRC's."""

from __future__ import annotations

from pathlib import Path

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.format import FormatOptions, ImageReader

from .header import HEADER_SIZE, byte_order


class MrcFormat(Algorithm):
    """MRC images and stacks of electron microscopes (.mrc, .mrcs, .map)."""

    endings = ("mrcs", "map")

    @hookimpl
    def understand(self, path: Path, head: bytes) -> bool:
        """MAP at byte 208 of a header whose sizes and mode make sense."""
        return bool(byte_order(head))

    @hookimpl
    def refusal(self, path: Path, head: bytes) -> str:
        """Why a file is not read; "" when it is."""
        if byte_order(head):
            return ""
        if len(head) < HEADER_SIZE:
            return f"shorter than the {HEADER_SIZE} bytes of a header"
        return "no MAP at byte 208" if head[208:211] != b"MAP" else "sizes and mode of the header make no sense"

    @hookimpl
    def open_image(self, path: Path, head: bytes, options: FormatOptions) -> ImageReader:
        """Open an image; see `spindle.contracts.format.FormatSpec`."""
        from .reader import MrcReader

        return MrcReader(path, head, options)
