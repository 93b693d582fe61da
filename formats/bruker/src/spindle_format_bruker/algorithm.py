"""The plugin: which files are Bruker frames."""

from __future__ import annotations

from pathlib import Path

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.format import FormatOptions, ImageReader

from .header import is_bruker


class BrukerFormat(Algorithm):
    """Bruker frames (.sfrm) of formats 86 and 100: SMART, APEX, Photon."""

    @hookimpl
    def understand(self, path: Path, head: bytes) -> bool:
        """A header that begins with FORMAT 86 or 100."""
        return is_bruker(head)

    @hookimpl
    def refusal(self, path: Path, head: bytes) -> str:
        """Why a file is not read; "" when it is."""
        return "" if is_bruker(head) else "does not begin with 'FORMAT :' 86 or 100"

    @hookimpl
    def open_image(self, path: Path, head: bytes, options: FormatOptions) -> ImageReader:
        """Open an image; see `spindle.contracts.format.FormatSpec`."""
        from .reader import BrukerReader

        return BrukerReader(path, head, options)
