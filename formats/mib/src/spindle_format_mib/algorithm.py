"""The plugin: which files are Merlin's."""

from __future__ import annotations

from pathlib import Path

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.format import FormatOptions, ImageReader

from .header import read_header


class MibFormat(Algorithm):
    """Images and stacks of Quantum Detectors' Merlin (Medipix3, .mib)."""

    @hookimpl
    def understand(self, path: Path, head: bytes) -> bool:
        """A header of text that begins with MQ1."""
        return read_header(head) is not None

    @hookimpl
    def refusal(self, path: Path, head: bytes) -> str:
        """Why a file is not read; "" when it is."""
        if read_header(head) is not None:
            return ""
        return "the header after MQ1 makes no sense" if head[:4] == b"MQ1," else "does not begin with MQ1"

    @hookimpl
    def open_image(self, path: Path, head: bytes, options: FormatOptions) -> ImageReader:
        """Open an image; see `spindle.contracts.format.FormatSpec`."""
        from .reader import MibReader

        return MibReader(path, head, options)
