"""Runs that work in a folder of their own, which a parameter of the program names."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spindle.errors import UserError
from spindle.params import FolderParam, Params, PathParam, Str, Strings, walk

__all__ = ["absolute_word", "folder_of", "inside", "with_absolute_files"]


def folder_of(params: Params) -> Path | None:
    """Return the folder that a parameter declared with ``working=True`` names; None for the current one."""
    for entry in walk(params):
        if isinstance(entry.leaf, FolderParam) and entry.leaf.working and entry.value is not None:
            return Path(entry.value)
    return None


@contextlib.contextmanager
def inside(folder: Path | None) -> Iterator[None]:
    """Make a folder and work in it; None stays where it is.

    Raises
    ------
    UserError
        If it cannot be made or entered.
    """
    if folder is None:
        yield
        return
    before = Path.cwd()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        os.chdir(folder)
    except OSError as error:
        raise UserError(f"the folder {folder} cannot be made or entered: {error.strerror}; give another") from error
    try:
        yield
    finally:
        os.chdir(before)


def with_absolute_files(params: Params) -> Params:
    """Return parameters in which files that are read, and that are there, have absolute names."""
    changed: dict[str, Any] = {}
    for entry in walk(params):
        is_output = ".output." in f".{entry.path}" or getattr(entry.leaf, "output", False)
        if is_output or not isinstance(entry.leaf, PathParam | Str | Strings) or not entry.is_modified:
            continue
        value = entry.value
        new = tuple(_absolute(v) for v in value) if isinstance(value, list | tuple) else _absolute(value)
        if new != value:
            changed[entry.path] = new
    return params.changed(changed) if changed else params


def absolute_word(word: str) -> str:
    """Return a word that a program reads itself with files in it named from anywhere: files, patterns, and values that are files."""
    name, equals, value = word.partition("=")
    if equals and not os.path.exists(word):
        return f"{name}={_absolute(value)}"
    is_path = os.path.exists(word) or any(c in word for c in "*?[") or os.sep in word
    return os.path.abspath(os.path.expanduser(word)) if is_path else word


def _absolute(value: Any) -> Any:
    if not isinstance(value, str | Path) or not str(value):
        return value
    path = Path(value)
    is_there = os.path.exists(path) or ("#" in path.name and path.parent.is_dir())
    return type(value)(path.absolute()) if is_there and not path.is_absolute() else value
