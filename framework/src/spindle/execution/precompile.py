"""Compiling kernels ahead of their first use, in a process beside the run.

A package may carry a file ``kernel_signatures.json`` next to its ``__init__.py``: the argument types with which its kernels are called.
``tools/kernel_signatures.py`` writes it. When a run needs several programs, the host compiles from those lists that it has not been
through yet in a second process while the first steps run; numba's cache on disk hands the result over, and a mark in the cache says
that a list was gone through.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import importlib
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .children import module_command
from .compile_cache import kernel_stamp, libraries_of

if TYPE_CHECKING:
    from spindle.params import Params

log = logging.getLogger(__name__)

FILE = "kernel_signatures.json"


def signature_file(package: str) -> Path | None:
    """Return the list of a package, or None when it has none."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / FILE
    return path if path.is_file() else None


def type_from_text(text: str) -> Any:
    """Return the numba type that ``repr`` shows as ``text``.

    Raises
    ------
    ValueError
        If it is not a type that can be made from its text (named tuples, default values).
    """
    from numba import types

    names = {name: getattr(types, name) for name in dir(types) if not name.startswith("_")}
    names["bool"] = types.boolean
    try:
        found = eval(text, {"__builtins__": {}}, names)
    except Exception as error:
        raise ValueError(f"{text} is no numba type that can be written down") from error
    if not isinstance(found, types.Type) or repr(found) != text:
        raise ValueError(f"{text} is no numba type that can be written down")
    return found


def compile_package(package: str) -> tuple[int, int]:
    """Compile all listed kernels of a package; return how many were compiled or found in the cache, and how many failed."""
    path = signature_file(package)
    done = failed = 0
    for name, signatures in json.loads(path.read_text()).items() if path is not None else ():
        module, _, function = name.rpartition(".")
        for signature in signatures:
            try:
                kernel = getattr(importlib.import_module(module), function)
                kernel.compile(tuple(type_from_text(t) for t in signature))
                done += 1
            except Exception as error:  # a list that is out of date costs time later, nothing else
                log.debug("%s%s was not compiled: %s", name, signature, error)
                failed += 1
    return done, failed


def packages_of(params: Params) -> list[str]:
    """Return the packages of all plugins in a parameter tree, those of later programs first, then their libraries and the host."""
    from spindle.params.tree import plugin_of, scopes_of
    from spindle.plugins import registry

    found: dict[str, None] = {}
    for _, scope in scopes_of(params):
        chosen = plugin_of(scope)
        if chosen is not None:
            found.setdefault(registry().find(*chosen).target.partition(":")[0].partition(".")[0])
    plugins = [*reversed(found)]
    specs = [find_spec(name) for name in plugins]
    folders = [
        Path(s.origin).parent
        for s in specs
        if s is not None and s.origin is not None and Path(s.origin).name == "__init__.py"
    ]
    libraries = dict.fromkeys(name for folder in folders for name in libraries_of(folder))
    return [*plugins, *libraries, "spindle"]


def mark_of(package: str) -> Path | None:
    """The file in the cache that says that the list of a package, as the package is now, was gone through.

    None for a package without a list, and where nothing is kept.
    """
    listed, folder = signature_file(package), os.environ.get("NUMBA_CACHE_DIR")
    if listed is None or not folder or folder == os.devnull:
        return None
    digest = hashlib.sha256(listed.read_bytes())
    if package != "spindle":  # the cache has a folder of its own for each state of the host
        digest.update(kernel_stamp(listed.parent))
    return Path(folder) / f"{package}-{digest.hexdigest()[:16]}.done"


def compile_beside(packages: Iterable[str]) -> subprocess.Popen[bytes] | None:
    """Start a process that compiles the kernels of some packages; it ends with this one at the latest."""
    listed = [p for p in packages if (mark := mark_of(p)) is not None and not mark.exists()]
    if not listed:
        return None
    process = subprocess.Popen(
        module_command("spindle.execution.precompile", *listed),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    atexit.register(_end, process)
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)


def main(packages: list[str]) -> None:
    """Compile; called in the process beside."""
    with contextlib.suppress(KeyboardInterrupt):
        if hasattr(os, "nice"):
            os.nice(5)
        for package in packages:
            mark = mark_of(package)
            compile_package(package)
            if mark is not None:
                mark.touch()


if __name__ == "__main__":
    main(sys.argv[1:])
