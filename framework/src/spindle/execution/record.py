"""Run records: what is needed to understand a run and to repeat it."""

from __future__ import annotations

import hashlib
import os
import platform
import reprlib
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from importlib import metadata
from io import FileIO
from pathlib import Path
from typing import Any

from spindle import __version__
from spindle.errors import FileFormatError, HeaderError
from spindle.params import Params, to_dict, walk
from spindle.plugins import plugin_files
from spindle.plugins.discovery import HOST
from spindle.regular import open_regular, read_regular, unreadable
from spindle.report import json_text

RECORD_FORMAT = "spindle run record"
RECORD_VERSION = 1
MOST_BYTES = 1 << 28  # a million images
_CONTENT = (
    ("format_version", int, "a whole number"),
    ("program", str, "the name of a program"),
    ("working_folder", str, "the name of a folder"),
    ("parameters", dict, "an object of names and values"),
    ("versions", dict, "an object of names and versions"),
    ("plugins", list, "a list"),
    ("inputs", list, "a list of files"),
    ("outputs", list, "a list of files"),
)
HEAD_BYTES = 65536
PACKAGES = ("numpy", "scipy", "numba", "llvmlite", "gemmi", "pluggy", "traitlets", "msgpack", "h5py")


def file_entry(path: Path, whole: bool = True) -> dict[str, Any]:
    """Return path, size and SHA-256 of a file.

    Parameters
    ----------
    path : Path
        For a folder, the names and sizes inside are hashed.
    whole : bool
        Hash the whole file; images are told apart by their first 64 KiB and size, since hashing them would read every
        image twice.
    """
    digest = hashlib.sha256()
    entry: dict[str, Any] = {"path": str(path)}
    if path.is_dir():
        for inner in sorted(path.iterdir()):
            try:
                size = inner.stat().st_size
            except OSError:  # a link that leads nowhere
                size = -1
            digest.update(os.fsencode(f"{inner.name} {size}\n"))
        return entry | {"sha256_of_listing": digest.hexdigest()}
    with open_input(path) as stream:
        status = os.fstat(stream.fileno())
    entry["size"] = status.st_size
    key = (str(path.absolute()), status.st_size, status.st_mtime_ns, status.st_ino)
    entry["sha256" if whole else "sha256_of_head"] = _hash(key, whole)
    return entry


def open_input(path: Path) -> FileIO:
    """Open an input file; raise `FileFormatError` for what cannot be opened or is no regular file."""
    try:
        return open_regular(path, "name an input file")
    except OSError as error:
        raise unreadable(path, error, "name an input file") from error


@lru_cache(maxsize=4096)
def _hash(file: tuple[str, int, int, int], whole: bool) -> str:
    """Return the hash of a file; what one step has written is hashed once, though the next one reads it."""
    digest = hashlib.sha256()
    with open_input(Path(file[0])) as stream:
        while block := stream.read(1 << 20 if whole else HEAD_BYTES):
            digest.update(block)
            if not whole:
                break
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of Python, Spindle and the packages that results depend on."""
    found = {"python": platform.python_version(), "spindle": __version__}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def make_record(
    program: str,
    params: Params,
    plugins: list[dict[str, Any]],
    inputs: list[dict[str, Any]],
    outputs: Sequence[Path],
    seed: int,
    argv: Sequence[str],
    seconds: float,
    summary: dict[str, Any],
    images: dict[str, Any] | None = None,
    data: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the record of a run as a dictionary for JSON."""
    from .changes import code_of

    return {
        "format": RECORD_FORMAT,
        "format_version": RECORD_VERSION,
        "program": program,
        "argv": [*argv, *(word for file in plugin_files() for word in file.words)],
        "working_folder": str(Path.cwd()),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        "machine": {"system": platform.platform(), "processor": platform.machine()},
        "versions": versions(),
        "plugins": plugins,
        "code": code_of(plugins),
        "seed": seed,
        "parameters": to_dict(params),
        "modified": {e.path: e.leaf.plain(e.value) for e in walk(params) if e.is_modified},
        "inputs": inputs,
        **({} if images is None else {"images": images}),
        "data": data,
        "outputs": [file_entry(p) for p in outputs],
        "summary": summary,
    }


def write_record(record: dict[str, Any], path: Path) -> None:
    """Write a record atomically."""
    from spindle.files import atomic_write

    with atomic_write(path) as temporary:
        temporary.write_text(json_text(record, 2) + "\n", encoding="utf-8")


def read_record(path: Path) -> dict[str, Any]:
    """Read a record; raise `FileFormatError` for anything else. An input file that it names several times is among its inputs once."""
    from spindle.files.strict_json import json_content  # its package imports models, and these numba

    content = read_regular(path, MOST_BYTES, "a run record", "name a run record, spindle.<program>.json")
    try:
        record = json_content(content)
    except ValueError as error:
        raise FileFormatError(
            f"{path} is not a run record, which programs write as spindle.<program>.json: it cannot be read as JSON ({error})"
        ) from error
    if not isinstance(record, dict) or record.get("format") != RECORD_FORMAT:
        raise FileFormatError(f"{path} is not a run record; programs write them as spindle.<program>.json")
    version, made_by = record.get("format_version"), record.get("versions")
    if isinstance(version, int) and version > RECORD_VERSION:
        name = made_by.get("spindle", "unknown") if isinstance(made_by, dict) else "unknown"
        raise FileFormatError(f"{path} was written by a newer Spindle, {name}. Next: pip install --upgrade {HOST}")
    for place, expected, found in _faults(record):
        raise HeaderError(path, place, expected, found, "the record is damaged: run the program itself")
    record["inputs"] = list({str(Path(entry["path"])): entry for entry in record["inputs"]}.values())
    return record


def _faults(record: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Place, what is expected there and what is found, for all that a record cannot hold."""

    def check(place: str, value: Any, kind: type, expected: str) -> Iterator[tuple[str, str, str]]:
        if type(value) is not kind or (isinstance(value, str) and "\0" in value):
            yield place, expected, reprlib.repr(value)

    for key, kind, expected in _CONTENT:
        yield from check(key, record.get(key), kind, expected)
    for name, code in record["code"].items() if isinstance(record.get("code"), dict) else ():
        yield from check(f"code, {reprlib.repr(name)}", code, str, "a hash")
    if not isinstance(record.get("code", {}), dict):
        yield "code", "an object of names and hashes", reprlib.repr(record["code"])
    for name, version in record["versions"].items():
        yield from check(f"versions, {reprlib.repr(name)}", version, str, "a version")
    for number, plugin in enumerate(record["plugins"]):
        yield from check(f"plugins[{number}]", plugin, dict, "an object")
        for key in ("slot", "name", "distribution", "version"):
            yield from check(f"plugins[{number}], {key}", plugin.get(key), str, "text")
        for key in ("class", "sha256") if "file" in plugin else ():
            yield from check(f"plugins[{number}], {key}", plugin.get(key), str, "text")
        yield from check(f"plugins[{number}], file", plugin.get("file", ""), str, "the name of a file")
    for group in ("inputs", "outputs"):
        for number, entry in enumerate(record[group]):
            yield from check(f"{group}[{number}]", entry, dict, "an object")
            yield from check(f"{group}[{number}], path", entry.get("path"), str, "the name of a file")
    known: dict[str, Any] = {}
    for number, entry in enumerate(record["inputs"]):
        told = entry | {"path": str(Path(entry["path"]))}
        if known.setdefault(told["path"], told) != told:
            yield f"inputs[{number}]", f"what was said before of {reprlib.repr(entry['path'])}", reprlib.repr(entry)


def changed_inputs(record: dict[str, Any]) -> list[str]:
    """Return what is different about the input files now, one line each."""
    problems = []
    for entry in record["inputs"]:
        path = Path(entry["path"])
        if not os.path.exists(path):
            problems.append(f"{path} is gone")
        elif file_entry(path, "sha256_of_head" not in entry) != entry:
            problems.append(f"{path} has changed")
    return problems


def command_line() -> list[str]:
    """Return the command line of this process with the plain name of the command."""
    return [Path(sys.argv[0]).name, *sys.argv[1:]]
