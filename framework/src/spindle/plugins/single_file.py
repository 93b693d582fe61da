"""Plugins in plain Python files that nothing is installed for: ``--plugin file.py:Class`` on the command line.

A file is code that runs with the rights of the user. So only the user names one, on a command line or in Python; no parameter file and no
run record does.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.machinery
import importlib.util
import os
import re
import shlex
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from spindle.errors import PluginError, is_out_of_memory

from .discovery import PluginInfo
from .loading import BrokenPlugin, DuplicatePlugin, IncompatiblePlugin, MisnamedPlugin, hooks_of, place_of, spec_of
from .names import fault_of_name
from .registry import given_infos, registry, take

__all__ = ["PluginFile", "add_plugin_files", "plugin_files", "using_plugin_files"]

MODULE = "spindle_plugin_file"


@dataclass(frozen=True, slots=True)
class PluginFile:
    """A class in a file.

    Attributes
    ----------
    path : str
        Absolute.
    class_name : str
    sha256 : str
        Of the content; empty while it is not known yet. A process that gets a plugin from another one takes no other content.
    """

    path: str
    class_name: str
    sha256: str = ""

    @classmethod
    def parse(cls, text: str) -> PluginFile:
        """Read ``file.py:Class``; raise `PluginError` with what is missing."""
        file, colon, class_name = text.rpartition(":")
        if not colon or not file or not re.fullmatch(r"\w+", class_name):
            known = classes_of(Path(os.path.expanduser(text)))
            example = f"{text}:{known[0]}" if known else "my_threshold.py:MyThreshold"
            raise PluginError(f"--plugin {text}: give a file and the class in it, for example --plugin {example}")
        return cls(os.path.abspath(os.path.expanduser(file)), class_name)

    @property
    def words(self) -> tuple[str, str]:
        """As it is given on the command line."""
        return "--plugin", f"{self.path}:{self.class_name}"

    @property
    def option(self) -> str:
        """The same as a person types it."""
        return shlex.join(self.words)


def plugin_files() -> tuple[PluginFile, ...]:
    """The files that this process has been given; they can be pickled, for `add_plugin_files` in another process."""
    return tuple(PluginFile(i.file, i.target.partition(":")[2], i.sha256) for i in given_infos())


def add_plugin_files(files: Iterable[PluginFile | str]) -> tuple[PluginInfo, ...]:
    """Make classes in files available like installed plugins, in this process.

    Parameters
    ----------
    files : iterable of PluginFile or str
        A text is ``file.py:Class``.

    Returns
    -------
    tuple of PluginInfo
        What they are found by.

    Raises
    ------
    PluginError
        If there is no such file or class, it is no algorithm of any slot, or its name is taken.
    """
    added = []
    for given in files:
        file = PluginFile.parse(given) if isinstance(given, str) else given
        known = next(
            (i for i in given_infos() if (i.file, i.target.partition(":")[2]) == (file.path, file.class_name)), None
        )
        if known is not None and file.sha256 in ("", known.sha256):
            added.append(known)
            continue
        if known is not None:
            raise PluginError(_has_changed(file))
        added.append(_info_of(file))
        take([*given_infos(), added[-1]])
    return tuple(added)


@contextmanager
def using_plugin_files(files: Iterable[PluginFile | str]) -> Iterator[tuple[PluginInfo, ...]]:
    """Inside, classes in files are plugins; see `add_plugin_files`."""
    before = given_infos()
    try:
        yield add_plugin_files(files)
    finally:
        take(before)


def _has_changed(file: PluginFile) -> str:
    return f"{file.path} is no longer the file that this run began with. Next: leave it alone until the run has ended, and run again"


def _info_of(file: PluginFile) -> PluginInfo:
    """Load a class and find out what it is."""
    content = _read(file)
    sha256 = hashlib.sha256(content).hexdigest()
    if file.sha256 and file.sha256 != sha256:
        raise PluginError(_has_changed(file))
    module = _load(file, content, sha256)
    plugin = getattr(module, file.class_name, None)
    if plugin is None:
        raise PluginError(f"{file.option}: {_no_class(file)}")
    slot = _slot_of(file, plugin)
    info = PluginInfo(
        slot=slot,
        name=name_of(plugin.__name__, slot),
        target=f"{module.__name__}:{file.class_name}",
        distribution=Path(file.path).name,
        version=f"sha256:{sha256[:16]}",
        summary=(plugin.__doc__ or "").strip().partition("\n")[0],
        location=str(Path(file.path).parent),
        file=file.path,
        sha256=sha256,
    )
    if fault := fault_of_name(info):
        raise MisnamedPlugin(
            f"{file.option}: the name of this {slot} would be {info.name!r}, from that of its class: {fault}. Next: call the class otherwise"
        )
    other = next((i for i in registry().infos if (i.slot, i.name) == (slot, info.name)), None)
    if other is not None:
        whose = other.file or f"{other.distribution} {other.version}"
        raise DuplicatePlugin(
            f"{file.option}: there is a {slot} {info.name!r} already, of {whose}. Next: call the class otherwise, its name becomes that of "
            "the plugin"
        )
    from .loading import load

    load(info)
    return info


def _read(file: PluginFile) -> bytes:
    from spindle.regular import read_regular

    path = Path(file.path)
    if not path.exists():
        near = difflib.get_close_matches(path.name, sorted(p.name for p in path.parent.glob("*.py")), 1)
        hint = f" Did you mean {path.parent / near[0]}?" if near else ""
        raise PluginError(f"{file.option}: there is no file {path}.{hint} Next: give the path of a Python file")
    return read_regular(path, 1 << 24, "a Python file", "give a Python file and the class in it")


def _load(file: PluginFile, content: bytes, sha256: str) -> ModuleType:
    """The module of a file, made of the content that was hashed; under the same name in each process that has the same path."""
    place = hashlib.sha256(os.fsencode(file.path)).hexdigest()[:12]
    name = f"{MODULE}_{re.sub(r'[^0-9a-zA-Z]+', '_', Path(file.path).stem)}_{place}"
    loaded = sys.modules.get(name)
    if loaded is not None and getattr(loaded, "__spindle_sha256__", "") == sha256:
        return loaded
    loader = _Loader(name, file.path, content)
    spec = importlib.util.spec_from_file_location(name, file.path, loader=loader)
    assert spec is not None  # a loader was given
    module = importlib.util.module_from_spec(spec)
    module.__dict__["__spindle_sha256__"] = sha256
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except (Exception, SystemExit) as error:
        sys.modules.pop(name)
        if is_out_of_memory(error):
            raise
        what = f"it ends the process ({error.code})" if isinstance(error, SystemExit) else str(error)
        raise BrokenPlugin(
            f"{file.option}: running the file failed with {type(error).__name__}: {what} ({place_of(error)}). Next: mend it there"
        ) from error
    return module


class _Loader(importlib.machinery.SourceFileLoader):
    """Runs the bytes that were read once, and leaves no compiled file beside them."""

    def __init__(self, name: str, path: str, content: bytes) -> None:
        super().__init__(name, path)
        self.content = content

    def get_code(self, fullname: str) -> Any:
        return self.source_to_code(self.content, self.path)


def classes_of(path: Path) -> list[str]:
    """Names of the classes in a Python file, without running it; none when it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return []
    return re.findall(r"^class (\w+)", text, re.MULTILINE)


def _no_class(file: PluginFile) -> str:
    there = classes_of(Path(file.path))
    close = difflib.get_close_matches(file.class_name, there, 1)
    have = f"its classes are {', '.join(there)}" if there else "it has no classes"
    hint = f" Did you mean {close[0]}?" if close else ""
    return f"there is no class {file.class_name!r} in the file; {have}.{hint} Next: give one of them"


def _slot_of(file: PluginFile, plugin: Any) -> str:
    """The slot whose hooks a class implements; raise `IncompatiblePlugin` when there is none."""
    from spindle.contracts import SLOTS, Algorithm, Program

    if not isinstance(plugin, type) or not issubclass(plugin, Algorithm):
        what = plugin.__name__ if isinstance(plugin, type) else repr(plugin)
        raise IncompatiblePlugin(
            f"{file.option}: {what} is not a class derived from spindle.contracts.Algorithm. Next: derive it, and mark its hooks with @hookimpl"
        )
    if issubclass(plugin, Program):
        return "program"
    marks = {n: getattr(getattr(plugin, n), "spindle_impl", None) for n in dir(plugin)}
    hooks = {n: mark for n, mark in marks.items() if mark is not None}
    if any(mark.get("wrapper") or mark.get("hookwrapper") for mark in hooks.values()):
        return "observer"
    shared: dict[str, int] = {}
    for slot in SLOTS:
        spec = spec_of(slot)
        assert spec is not None  # it is one of this host's
        shared[slot] = len(hooks.keys() & hooks_of(spec).keys())
    best = max(shared, key=lambda slot: shared[slot])
    if shared[best] == 0:
        found = f"its hooks are {', '.join(hooks)}" if hooks else "no method is marked with @hookimpl"
        raise IncompatiblePlugin(
            f"{file.option}: {plugin.__name__} fits no slot: {found}. Next: mark the methods that a slot asks for with @hookimpl; "
            "`spindle help background` shows what that slot asks for, and so for the others"
        )
    return best


def name_of(class_name: str, slot: str) -> str:
    """The name of the plugin that a class is: ``TrimmedMeanBackground`` is the background ``trimmed_mean``."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", class_name).lower()
    return words.removesuffix(f"_{slot}")
