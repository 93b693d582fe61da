"""The plugin: which files are images of Rigaku and Oxford Diffraction detectors."""

from __future__ import annotations

from pathlib import Path

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.format import FormatOptions, ImageReader
from spindle.images import read_head

from .dtrek import is_dtrek
from .oxford import is_oxford
from .raxis import is_raxis


class RigakuFormat(Algorithm):
    """Images of Rigaku (d*TREK, R-AXIS) and Oxford Diffraction detectors."""

    @hookimpl
    def understand(self, path: Path, head: bytes) -> bool:
        """A d*TREK, R-AXIS or CrysAlis header."""
        return is_dtrek(head) or is_raxis(head) or is_oxford(head)

    @hookimpl
    def refusal(self, path: Path, head: bytes) -> str:
        """Why a file is not read; "" when it is."""
        if self.understand(path, head):
            return ""
        return "neither a d*TREK header (DETECTOR_NAMES=) nor RAXIS nor 'OD SAPPHIRE'"

    @hookimpl
    def open_image(self, path: Path, head: bytes, options: FormatOptions) -> ImageReader:
        """Open an image; see `spindle.contracts.format.FormatSpec`."""
        from .dtrek import DtrekReader
        from .oxford import OxfordReader
        from .raxis import RaxisReader

        head = head or read_head(path)
        reader = DtrekReader if is_dtrek(head) else RaxisReader if is_raxis(head) else OxfordReader
        return reader(path, head, options)
