"""What a run record that somebody else wrote may do: read its inputs, make data, and write them into the current folder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from spindle.errors import FileFormatError, UserError
from spindle.execution.protection import outputs_of
from spindle.execution.record import file_entry
from spindle.execution.settings import RunSettings
from spindle.params import Assignment, FolderParam, Params, PathParam, Str, UnrecordedParams
from spindle.params.tree import scopes_of, walk

__all__ = ["check_makes_data", "check_targets", "located", "recorded_assignments", "with_located_files"]

_PART = re.compile(r"([^\[\]]+)(?:\[(\d{1,6})\])?")


def check_makes_data(name: str, program: Any, record: Path) -> None:
    """Raise UserError for a program that makes no data: a server, a client, what only shows."""
    if issubclass(program.Params or Params, UnrecordedParams):
        raise UserError(
            f"replay: {record} is a record of {name}, which makes no data; only what makes data is run from a record. Next: "
            f"run spindle {name} yourself"
        )


def recorded_assignments(record: dict[str, Any], path: Path) -> list[Assignment]:
    """Return the effective parameters of a record; elements of multiple scopes get an identity by their index."""
    found = []
    for name, value in record["parameters"].items():
        if name == "run.overwrite":
            continue  # that was said of other files
        key, blocks = [], []
        for part in name.split("."):
            match = _PART.fullmatch(part)
            if match is None:
                raise FileFormatError(f"{path}: the record is damaged: {name[:60]!r} is no name of a parameter")
            key.append(match[1])
            blocks.append(-1 - int(match[2]) if match[2] else 0)
        found.append(Assignment(".".join(key), value, "run record", tuple(blocks[:-1])))
    return found


def located(entries: list[dict[str, Any]], folders: Iterable[Path]) -> list[dict[str, Any]]:
    """Entries of input files with the places where these are now.

    Parameters
    ----------
    entries : list of dict
        Of a record.
    folders : iterable of Path
        What relative names may be relative to, the most likely one first; where several have such a file, the one with the
        recorded content counts.
    """
    return [entry | {"path": str(_located(entry, list(folders)))} for entry in entries]


def _located(entry: dict[str, Any], folders: list[Path]) -> Path:
    path = Path(entry["path"])
    if path.is_absolute():
        return path
    there = [_short(folder / path) for folder in folders if os.path.exists(folder / path)]
    same = (p for p in there if file_entry(p, "sha256_of_head" not in entry) | {"path": ""} == entry | {"path": ""})
    return next(same, there[0] if there else path)


def _short(path: Path) -> Path:
    """A path below the current folder relative to it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def with_located_files(assignments: list[Assignment], params: Params, folders: list[Path]) -> list[Assignment]:
    """Assignments in which files to read (masks, maps) are named by where they are now."""
    read = {
        entry.path
        for entry in walk(params)
        if (isinstance(entry.leaf, PathParam) or ".lookup." in f".{entry.path}")
        and not _is_output(entry.path, entry.leaf)
    }

    def place(value: Any) -> Any:
        if isinstance(value, list):
            return [place(v) for v in value]
        if not isinstance(value, str) or value in ("", "None", "Auto") or os.path.isabs(value):
            return value
        found = next((folder / value for folder in folders if os.path.exists(folder / value)), None)
        return value if found is None else str(_short(found))

    return [
        Assignment(a.key, place(a.value), a.source, a.blocks) if a.source == "run record" and a.key in read else a
        for a in assignments
    ]


def _is_output(path: str, leaf: Any) -> bool:
    return path.startswith("output.") or ".output." in path or bool(getattr(leaf, "output", False))


def check_targets(name: str, params: Params, typed: list[str]) -> list[Path]:
    """Raise UserError when a record names a place outside of the current folder, or a hidden one, to write to.

    Parameters
    ----------
    name : str
        Program.
    params : Params
        Effective.
    typed : list of str
        Names of the parameters that the user has given; these may write anywhere.

    Returns
    -------
    list of Path
        The folders to which the run may write.
    """
    here = Path(os.path.realpath(Path.cwd()))
    folders = [here]
    for key, path in _targets(name, params):
        target = Path(os.path.realpath(Path(os.path.expanduser(path))))
        if any(f".{key}".endswith(f".{word}") for word in typed):
            folders.append(target if target.is_dir() else target.parent)
            continue
        outside = not target.is_relative_to(here)
        if outside or any(part.startswith(".") for part in target.relative_to(here).parts):
            where = f"is outside of the current folder {here}" if outside else "is hidden"
            raise UserError(
                f"replay: the record writes {key}={path}, which {where}. Next: name the place yourself, {key}={path} to take it"
            )
    return folders


def _targets(name: str, params: Params) -> Iterator[tuple[str, Path]]:
    """Name and value of all parameters that say where to write."""
    yield from ((key, Path(entry.value)) for key, entry in outputs_of(params))
    for dotted, scope in scopes_of(params):
        is_output = dotted == "output" or dotted.endswith(".output")
        for entry in walk(scope) if is_output else ():
            # Beginnings of names and folders, which may have no suffix.
            if isinstance(entry.leaf, Str | FolderParam) and isinstance(entry.value, str | Path) and str(entry.value):
                yield f"{dotted}.{entry.path}", Path(entry.value)
    for entry in walk(params):
        if isinstance(entry.leaf, FolderParam) and entry.leaf.output and entry.value:
            yield entry.path, Path(entry.value)
    settings = RunSettings.of(name, params)
    for key, path in (("output.log", settings.log), ("run.record", settings.record)):
        if path is not None:
            yield key, path
