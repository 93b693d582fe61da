"""``spindle compile``: compile kernels before they are needed."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from spindle.errors import UserError
from spindle.execution.compile_cache import cache_folder, libraries_of
from spindle.execution.executor import available_cores
from spindle.execution.precompile import compile_packages, packages_of, unfinished
from spindle.plugins import registry

from .programs import program_name

USAGE = """usage: spindle compile [PROGRAM ...] [nproc=N]

Compiles the kernels that the programs use, with the plugins that they choose by default, so that the first run does not wait:
at the installation of a machine or of a container, for example. Without a program, those of everything that is installed.
  nproc  processes that compile at once; by default as many as there are cores
The cache is in SPINDLE_CACHE_DIR, or where the system keeps caches; kernels are for this kind of processor.
"""


def installed_packages() -> list[str]:
    """Packages of all installed plugins, after the host and the libraries whose kernels theirs call."""
    plugins = sorted({i.target.partition(":")[0].partition(".")[0] for i in registry().infos})
    specs = [find_spec(name) for name in plugins]
    origins = [Path(s.origin).parent for s in specs if s is not None and s.origin is not None]
    libraries = {name for folder in origins if folder.name in plugins for name in libraries_of(folder)}
    return ["spindle", *sorted(libraries), *plugins]


def packages_of_programs(programs: Iterable[str]) -> list[str]:
    """Packages that the programs use by default, those that others call first."""
    from spindle.execution import Session

    found: dict[str, None] = {}
    for name in programs:
        found.update(dict.fromkeys(reversed(packages_of(Session(program_name(name)).params))))
    return list(found)


def read_words(words: list[str]) -> tuple[list[str], int]:
    """Programs and number of processes of a command line."""
    given = dict(w.split("=", 1) for w in words if "=" in w)
    plain = [w for w in words if "=" not in w]
    unknown = sorted(set(given) - {"nproc"}) + [w for w in plain if w.startswith("-")]
    number = given.get("nproc", "Auto")
    if unknown:
        raise UserError(f"unknown: {unknown[0]}\n\n{USAGE}")
    if number != "Auto" and not (number.isdecimal() and 1 <= int(number) <= 256):
        raise UserError(f"nproc={number}: give a number from 1 to 256, or Auto")
    return plain, available_cores() if number == "Auto" else int(number)


def compile_command(words: list[str]) -> int:
    """Compile and say what was done."""
    if words in (["-h"], ["--help"]):
        print(USAGE)
        return 0
    programs, n_workers = read_words(words)
    folder = cache_folder()
    if folder is None:
        raise UserError("compiled kernels cannot be kept here; set SPINDLE_CACHE_DIR to a folder of yours")
    packages = unfinished(packages_of_programs(programs) if programs else installed_packages())
    if not packages:
        print(f"Everything is compiled already, in {folder}")
        return 0
    what = f"{len(packages)} packages" if len(packages) > 1 else packages[0]
    print(f"Compiling the kernels of {what} in {n_workers} process{'es' if n_workers > 1 else ''}")
    total = [0, 0]

    def report(module: str, done: int, failed: int) -> None:
        total[0] += done
        total[1] += failed
        if sys.stderr.isatty():
            print(f"\r{total[0]} kernels, {module:<70}"[:100], end="", file=sys.stderr, flush=True)

    began = time.perf_counter()
    compile_packages(packages, n_workers, report)
    if sys.stderr.isatty():
        print("\r" + " " * 100 + "\r", end="", file=sys.stderr)
    print(f"Compiled {total[0]} kernels in {time.perf_counter() - began:.0f} s, kept in {folder}")
    if total[1]:
        print(f"Not compiled: {total[1]} of the lists; the first run that needs them does it")
    return 0
