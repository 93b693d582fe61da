"""The plugin: which files are CBF images that can be read."""

from __future__ import annotations

from pathlib import Path

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.format import FormatOptions, ImageReader

from .imgcif import begins_with_geometry

_MAGIC = b"###CBF"


class CbfFormat(Algorithm):
    """CBF images: miniCBF and full (imgCIF) headers, detectors of many elements, all compressions of CBFlib."""

    @hookimpl
    def understand(self, path: Path, head: bytes) -> bool:
        """A CBF with a header that places the detector."""
        return not self.refusal(path, head)

    @hookimpl
    def refusal(self, path: Path, head: bytes) -> str:
        """Why a file is not read; "" when it is."""
        if not head.lstrip().startswith(_MAGIC):
            return "does not start with ###CBF"
        if b"# Detector:" not in head and b"# Pixel_size" not in head and not begins_with_geometry(head):
            return "a CBF, but without a miniCBF header ('# Detector:', '# Pixel_size') and without imgCIF axes"
        return ""

    @hookimpl
    def open_image(self, path: Path, head: bytes, options: FormatOptions) -> ImageReader:
        """Open an image; see `spindle.contracts.format.FormatSpec`."""
        from .reader import CbfReader

        return CbfReader(path, head, options)
