"""The plugin: which HDF5 files are NeXus files with images."""

from __future__ import annotations

from pathlib import Path

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.format import FormatOptions, ImageReader

MAGIC = b"\x89HDF\r\n\x1a\n"


def is_hdf5(head: bytes) -> bool:
    """Whether a file begins like HDF5: the signature is at byte 0, 512, 1024, 2048, ..."""
    if head.startswith(MAGIC):
        return True
    place = 512
    while place < len(head):
        if head[place : place + len(MAGIC)] == MAGIC:
            return True
        place *= 2
    return False


class NexusFormat(Algorithm):
    """NeXus NXmx files and Dectris Eiger master files."""

    endings = ("nxs", "h5", "hdf5")
    signatures = (b"\x89HDF",)

    @hookimpl
    def understand(self, path: Path, head: bytes) -> bool:
        """An HDF5 file with a NeXus entry that has a detector and images, or one that is too damaged to tell."""
        return not self.refusal(path, head)

    @hookimpl
    def refusal(self, path: Path, head: bytes) -> str:
        """Why a file is not read; "" when it is."""
        if not is_hdf5(head):
            return "not an HDF5 file"
        if path.suffix in (".gz", ".bz2"):
            return f"HDF5 cannot be read from a compressed file; unpack {path.name}"
        from spindle.errors import FileFormatError

        from .hdf import open_file
        from .layout import describe_missing

        try:
            with open_file(path) as file:
                return describe_missing(file)
        except (FileFormatError, OSError, RuntimeError, KeyError, ValueError):
            # HDF5 reports damage in many ways. Opening it again says what is wrong, in full.
            return ""

    @hookimpl
    def open_image(self, path: Path, head: bytes, options: FormatOptions) -> ImageReader:
        """Open a file; see `spindle.contracts.format.FormatSpec`."""
        from .reader import NexusReader

        return NexusReader(path, options)
