"""The plugin: which files are Digital Micrograph's."""

from __future__ import annotations

from pathlib import Path

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.format import FormatOptions, ImageReader

from .tags import is_dm


class DmFormat(Algorithm):
    """Gatan Digital Micrograph images and stacks (.dm3, .dm4)."""

    endings = ("dm3", "dm4")

    @hookimpl
    def understand(self, path: Path, head: bytes) -> bool:
        """A file of version 3 or 4."""
        return is_dm(head)

    @hookimpl
    def refusal(self, path: Path, head: bytes) -> str:
        """Why a file is not read; "" when it is."""
        return "" if is_dm(head) else "does not begin like a Digital Micrograph file of version 3 or 4"

    @hookimpl
    def open_image(self, path: Path, head: bytes, options: FormatOptions) -> ImageReader:
        """Open an image; see `spindle.contracts.format.FormatSpec`."""
        from .reader import DmReader

        return DmReader(path, head, options)
