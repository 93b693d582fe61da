"""The plugin: which files are SMV images."""

from __future__ import annotations

from pathlib import Path

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.format import FormatOptions, ImageReader

from .header import is_smv


class SmvFormat(Algorithm):
    """SMV images of ADSC detectors, Timepix cameras and simulators."""

    endings = ("img",)

    @hookimpl
    def understand(self, path: Path, head: bytes) -> bool:
        """A header that begins with HEADER_BYTES, has an image size and is not Rigaku's."""
        return not self.refusal(path, head)

    @hookimpl
    def refusal(self, path: Path, head: bytes) -> str:
        """Why a file is not read; "" when it is."""
        if not is_smv(head):
            return "does not begin with { HEADER_BYTES= and an image size"
        if b"DETECTOR_NAMES=" in head[:16384] or b"SOURCE_WAVELENGTH" in head[:16384]:
            return "an SMV file with the header of Rigaku's d*TREK"
        return ""

    @hookimpl
    def open_image(self, path: Path, head: bytes, options: FormatOptions) -> ImageReader:
        """Open an image; see `spindle.contracts.format.FormatSpec`."""
        from .reader import SmvReader

        return SmvReader(path, head, options)
