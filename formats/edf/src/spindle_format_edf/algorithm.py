"""The plugin: which files are EDF images."""

from __future__ import annotations

from pathlib import Path

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.format import FormatOptions, ImageReader

from .header import is_edf


class EdfFormat(Algorithm):
    """EDF images of the ESRF: Frelon and others."""

    @hookimpl
    def understand(self, path: Path, head: bytes) -> bool:
        """A header in braces with Dim_1 and DataType."""
        return is_edf(head)

    @hookimpl
    def refusal(self, path: Path, head: bytes) -> str:
        """Why a file is not read; "" when it is."""
        return "" if is_edf(head) else "does not begin with { and a header with Dim_1 and DataType"

    @hookimpl
    def open_image(self, path: Path, head: bytes, options: FormatOptions) -> ImageReader:
        """Open an image; see `spindle.contracts.format.FormatSpec`."""
        from .reader import EdfReader

        return EdfReader(path, head, options)
