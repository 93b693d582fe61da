"""Compiling kernels ahead of their first use, in processes beside the run.

A package may carry a file ``kernel_signatures.json`` next to its ``__init__.py``: the argument types with which its kernels are called.
``tools/kernel_signatures.py`` writes it. When a run needs several programs, the host goes through the lists in processes beside
while the first steps run; ``spindle compile`` does so at any time. numba's cache on disk hands the kernels over, and a mark in the
cache says that a list was gone through.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import importlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .children import module_command
from .compile_cache import kernel_stamp, libraries_of
from .executor import available_cores

if TYPE_CHECKING:
    from spindle.params import Params

log = logging.getLogger(__name__)

FILE = "kernel_signatures.json"
MOST_BESIDE = 8  # more processes than large modules would wait for the largest


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


def modules_of(package: str) -> dict[str, dict[str, list[list[str]]]]:
    """Return, for each module in the list of a package, the types with which each of its kernels is called."""
    path = signature_file(package)
    found: dict[str, dict[str, list[list[str]]]] = {}
    for name, signatures in json.loads(path.read_text()).items() if path is not None else ():
        module, _, function = name.rpartition(".")
        found.setdefault(module, {})[function] = signatures
    return found


def compile_module(module: str, kernels: Mapping[str, Iterable[Iterable[str]]]) -> tuple[int, int]:
    """Compile kernels of a module; return how many were compiled or found in the cache, and how many failed.

    Parameters
    ----------
    module : str
    kernels : mapping of str to iterable
        For each kernel the lists of its arguments' types.
    """
    done = failed = 0
    for function, signatures in kernels.items():
        for signature in signatures:
            try:
                kernel = getattr(importlib.import_module(module), function)
                kernel.compile(tuple(type_from_text(t) for t in signature))
                done += 1
            except Exception as error:  # a list that is out of date costs time later, nothing else
                log.debug("%s.%s%s was not compiled: %s", module, function, signature, error)
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


def unfinished(packages: Iterable[str]) -> list[str]:
    """Return the packages whose lists were not gone through since they changed."""
    return [p for p in packages if (mark := mark_of(p)) is not None and not mark.exists()]


def compile_packages(packages: Iterable[str], n_workers: int, report: Callable[[str, int, int], None]) -> None:
    """Compile the lists of some packages in several processes, module by module, and mark the packages.

    Parameters
    ----------
    packages : iterable of str
        Their modules are begun in this order.
    n_workers : int
        Processes; with 1 this one compiles.
    report : callable
        Told the name of each module when it is done, how many of its kernels were compiled and how many failed.
    """
    listed = {package: modules_of(package) for package in packages}
    left = {package: set(modules) for package, modules in listed.items()}
    waiting = [(package, module, kernels) for package, modules in listed.items() for module, kernels in modules.items()]
    waiting.reverse()
    lock = threading.Lock()

    def work(compile_one: Callable[[str, Mapping[str, Iterable[Iterable[str]]]], tuple[int, int]]) -> None:
        while waiting:
            try:
                package, module, kernels = waiting.pop()
            except IndexError:  # another thread was faster
                return
            done, failed = compile_one(module, kernels)
            with lock:
                report(module, done, failed)
                left[package].discard(module)
                mark = mark_of(package)
                if not left[package] and mark is not None:
                    mark.touch()

    if n_workers == 1:
        work(compile_module)
        return
    children = [_Child() for _ in range(min(n_workers, len(waiting)))]
    threads = [threading.Thread(target=work, args=(child,), daemon=True) for child in children]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        for child in children:
            child.end()


class _Child:
    """A process that compiles the modules that it is told; it ends when nobody can tell it any more."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            module_command("spindle.execution.precompile"),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def __call__(self, module: str, kernels: Mapping[str, Iterable[Iterable[str]]]) -> tuple[int, int]:
        """As `compile_module`; all kernels fail when the process is gone."""
        everything = sum(len(list(s)) for s in kernels.values())
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps([module, kernels]) + "\n")
            self.process.stdin.flush()
            done, failed = json.loads(self.process.stdout.readline() or "[]") or (0, everything)
        except (OSError, ValueError):
            return 0, everything
        return done, failed

    def end(self) -> None:
        """End the process and wait for it."""
        self.process.terminate()
        self.process.communicate()


def compile_beside(packages: Iterable[str]) -> subprocess.Popen[bytes] | None:
    """Start a process that compiles the kernels of some packages, in as many processes as this one leaves cores.

    It ends with this one at the latest.
    """
    listed = unfinished(packages)
    if not listed or not os.access(os.environ["NUMBA_CACHE_DIR"], os.W_OK):
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


def _stop(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def main(packages: list[str]) -> None:
    """Compile the lists of packages, or without any the modules that come in as lines; called in the processes beside."""
    signal.signal(signal.SIGTERM, _stop)
    with contextlib.suppress(KeyboardInterrupt):
        if packages:
            if hasattr(os, "nice"):
                os.nice(5)
            n_workers = min(max(available_cores() - 1, 1), MOST_BESIDE)
            compile_packages(packages, n_workers, lambda module, done, failed: None)
        for line in sys.stdin if not packages else ():
            print(json.dumps(compile_module(*json.loads(line))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
