"""Which installed format reads a file."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from spindle.contracts.format import FormatOptions, ImageReader
from spindle.errors import FileFormatError, HeaderError, PluginError
from spindle.params import Assignment, Params, walk
from spindle.params.resolve import build
from spindle.plugins import is_strict, registry
from spindle.plugins.blame import blame_of
from spindle.plugins.host import HostContext, PluginHost, current_context

from .compressed import read_head, refuse_special

log = logging.getLogger(__name__)

# Instances of formats by host, name and parameters; formats hold no state, so that one serves a whole run.
_made: WeakKeyDictionary[PluginHost, dict[tuple[str, str], Any]] = WeakKeyDictionary()
_told: set[str] = set()


def _format(name: str, parameters: Mapping[str, Any] | None = None) -> Any:
    """A format of the present run.

    Parameters
    ----------
    name : str
    parameters : mapping, optional
        Its parameters by dotted name; without them those of the run.
    """
    context = current_context()
    made = _made.setdefault(context.host, {})
    own = context.params_of("format", name) if parameters is None else None
    if own is not None:
        parameters = changed_parameters(own)
    key = (name, json.dumps(dict(parameters or {}), sort_keys=True, default=str))
    if key not in made:
        cls: Any = context.host.load("format", name, "format")
        if parameters:
            given = [Assignment(k, v, f"parameters of the format {name!r}") for k, v in parameters.items()]
            own = build(cls.Params or Params, given)
        made[key] = context.host.make("format", name, own, HostContext(context.host), "format")
    return made[key]


def changed_parameters(params: Params | None) -> dict[str, Any]:
    """The parameters of a format that differ from their defaults, as plain values: what an image set remembers."""
    return {} if params is None else {e.path: e.leaf.plain(e.value) for e in walk(params) if e.is_modified}


def format_parameters(name: str | None) -> dict[str, Any]:
    """What the present run sets of the parameters of a format that it was told to use."""
    return changed_parameters(current_context().params_of("format", name)) if name else {}


def _asked(name: str, path: Path, head: bytes) -> tuple[bool, str]:
    """Whether a format that nobody chose understands a file, and why not; a broken one is told of once."""
    try:
        plugin = _format(name)
        if plugin.understand(path=path, head=head):
            return True, ""
        return False, plugin.refusal(path=path, head=head) or "not its kind of file"
    except Exception as error:
        if is_strict():
            raise
        reason = f"{type(error).__name__}: {error}" if not isinstance(error, PluginError) else str(error)
        whose = blame_of(error)
        if name not in _told:
            _told.add(name)
            log.warning(
                "Warning: the format %r cannot tell whether it reads %s and is left out: %s%s",
                name, path.name, reason, f" ({whose})" if whose else "",
            )  # fmt: skip
        return False, reason


def _ancestors(name: str) -> list[str]:
    """The formats that one specialises, nearest first."""
    found: list[str] = []
    while True:
        wider = _format(name).declared("specialises")
        if not wider or wider in found or wider not in registry().names("format"):
            return found
        found.append(wider)
        name = wider


def _most_special(names: list[str]) -> list[str]:
    """The formats of which no other in the list is a variant."""
    if len(names) < 2:
        return names
    wider = {ancestor for name in names for ancestor in _ancestors(name) if ancestor != name}
    return [name for name in names if name not in wider] or names


def choose_format(path: str | Path, head: bytes, name: str | None = None) -> str:
    """Name of the installed format that understands a file; of variants of each other the most special one.

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
        if name:
            plugin = _format(name)
            understood = plugin.understand(path=path, head=head)
            why = "" if understood else plugin.refusal(path=path, head=head)
        else:
            understood, why = _asked(candidate, path, head)
        if understood:
            found.append(candidate)
        else:
            reasons.append(f"{candidate}: {why or 'not its kind of file'}")
    found = _most_special(found)
    if len(found) == 1:
        return found[0]
    if found:
        raise FileFormatError(
            f"{path}: several formats read this file ({', '.join(found)}); choose one with format=, or let the more special "
            'one say which it is a variant of (specialises = "...")'
        )
    if not names:
        raise FileFormatError(f"{path}: no image format is installed; pip install spindle-format-cbf, for example")
    near = [r for r in reasons if _may_be_meant(r.partition(":")[0], path, head)] if len(reasons) > 1 else reasons
    begins = f"{head[:12]!r} ({'; '.join(near)})" if near else repr(head[:24])
    remedy = "leave it out, or ask a format for its reason with format=<name> (`spindle plugins` lists them)"
    raise HeaderError(path, "first bytes", "those of an image of an installed format", begins, remedy)


def _may_be_meant(name: str, path: Path, head: bytes) -> bool:
    """Whether a user may have thought that a format reads a file, by its extension or first bytes."""
    endings = path.name.lower().removesuffix(".gz").removesuffix(".bz2").split(".")[1:]
    try:
        plugin = _format(name).plugin
    except Exception:  # said by `_asked`
        return name in endings
    usual = {name, *getattr(plugin, "endings", ())}
    return not usual.isdisjoint(endings) or head.startswith(tuple(getattr(plugin, "signatures", ())))


def open_image(
    path: str | Path,
    name: str | None = None,
    options: FormatOptions | None = None,
    head: bytes | None = None,
    parameters: Mapping[str, Any] | None = None,
    likely: str | None = None,
) -> ImageReader:
    """Open an image file with the format that understands it, or the one that is named.

    Parameters
    ----------
    path : path
    name : str, optional
        Format.
    options : FormatOptions, optional
    head : bytes, optional
        The first bytes of the file, where they are known.
    parameters : mapping, optional
        Parameters of the format that is named, by dotted name; without them those of the run.
    likely : str, optional
        The format that was chosen of all for another image of the series: if it understands this one, no other is asked.

    Raises
    ------
    FileFormatError
        If the file cannot be read or no format understands it.
    """
    path = Path(path)
    head = read_head(path) if head is None else head
    is_known = not name and likely in registry().names("format") and _asked(str(likely), path, head)[0]
    chosen = str(likely) if is_known else choose_format(path, head, name)
    return _opened(chosen, path, head, options or FormatOptions(), parameters if name else None)


def reopen_image(
    path: str | Path, name: str, options: FormatOptions, parameters: Mapping[str, Any] | None = None
) -> ImageReader:
    """Open a further file of a series whose format is known, without looking at its head first."""
    return _opened(name, Path(path), b"", options, parameters)


def _opened(
    name: str, path: Path, head: bytes, options: FormatOptions, parameters: Mapping[str, Any] | None
) -> ImageReader:
    refuse_special(path)
    reader: ImageReader = _format(name, parameters).open_image(path=path, head=head, options=options)
    reader.format = name  # that of a variant may be the reader of the format that it specialises
    return reader
