"""Which installed format reads a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spindle.contracts.format import FormatOptions, ImageReader
from spindle.errors import FileFormatError, HeaderError, PluginError
from spindle.plugins import registry
from spindle.plugins.host import PluginHost

from .compressed import read_head

_loaded: dict[str, Any] = {}
# Extensions of files that are usually of a format of another name; they only choose which reasons a user reads.
_ENDINGS = {
    "dm": ("dm3", "dm4"),
    "imageio": ("png", "jpg", "jpeg", "bmp", "pgm"),
    "mar": ("mccd", "mar2300", "mar3450"),
    "mrc": ("mrcs", "map"),
    "nexus": ("nxs", "h5", "hdf5"),
    "smv": ("img",),
    "tiff": ("tif",),
}


def _format(name: str) -> Any:
    """The plugin of a format; formats hold no state, so that one instance serves the whole process."""
    if name not in _loaded:
        host = PluginHost()
        cls = host.load("format", name, "format")
        _loaded[name] = host.add("format", name, cls())
    return _loaded[name]


def choose_format(path: str | Path, head: bytes, name: str | None = None) -> str:
    """Name of the installed format that understands a file.

    Parameters
    ----------
    path : path
    head : bytes
        Its first bytes, decompressed.
    name : str, optional
        A format that is asked for; it must understand the file.

    Raises
    ------
    FileFormatError
        If no format understands the file (each is named with its reason), or several do.
    PluginError
        If a format that was asked for is not installed or broken.
    """
    path = Path(path)
    names = [name] if name else list(registry().names("format"))
    found, reasons = [], []
    for candidate in names:
        try:
            plugin = _format(candidate)
        except PluginError as error:
            if name:
                raise
            reasons.append(f"{candidate}: {error}")
            continue
        if plugin.understand(path=path, head=head):
            found.append(candidate)
        else:
            why = plugin.refusal(path=path, head=head) if hasattr(plugin, "refusal") else ""
            reasons.append(f"{candidate}: {why or 'not its kind of file'}")
    if len(found) == 1:
        return found[0]
    if found:
        raise FileFormatError(f"{path}: several formats read this file ({', '.join(found)}); choose one with format=")
    if not names:
        raise FileFormatError(f"{path}: no image format is installed; pip install spindle-format-cbf, for example")
    near = [r for r in reasons if _may_be_meant(r.partition(":")[0], path, head)] if len(reasons) > 1 else reasons
    begins = f"{head[:12]!r} ({'; '.join(near)})" if near else repr(head[:24])
    remedy = "leave it out, or ask a format for its reason with format=<name> (`spindle plugins` lists them)"
    raise HeaderError(path, "first bytes", "those of an image of an installed format", begins, remedy)


def _may_be_meant(name: str, path: Path, head: bytes) -> bool:
    """Whether a user may have thought that a format reads a file, by its extension or the signature of HDF5."""
    endings = path.name.lower().removesuffix(".gz").removesuffix(".bz2").split(".")[1:]
    usual = {name, *_ENDINGS.get(name, ())}
    return not usual.isdisjoint(endings) or (name == "nexus" and head.startswith(b"\x89HDF"))


def open_image(
    path: str | Path, name: str | None = None, options: FormatOptions | None = None, head: bytes | None = None
) -> ImageReader:
    """Open an image file with the format that understands it, or the one that is named.

    Raises
    ------
    FileFormatError
        If the file cannot be read or no format understands it.
    """
    path = Path(path)
    head = read_head(path) if head is None else head
    chosen = choose_format(path, head, name)
    reader: ImageReader = _format(chosen).open_image(path=path, head=head, options=options or FormatOptions())
    return reader


def reopen_image(path: str | Path, name: str, options: FormatOptions) -> ImageReader:
    """Open a further file of a series whose format is known, without looking at its head first."""
    reader: ImageReader = _format(name).open_image(path=Path(path), head=b"", options=options)
    return reader
