#!/usr/bin/env python3
"""Write the lists of argument types with which the kernels of each package are called.

    python tools/kernel_signatures.py

Runs the main job on a small simulated data set in this process, asks numba which types every kernel was compiled for, and writes
``kernel_signatures.json`` beside the ``__init__.py`` of each package. The host compiles from these lists ahead of the first use
(`spindle.execution.precompile`).
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path


def main() -> None:
    """Run the job and write the lists."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SPINDLE_CACHE_DIR"] = folder
        if hasattr(os, "sched_setaffinity"):
            # On one core nothing is compiled beside: a kernel that another process compiled is loaded without those it calls.
            os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1])
        os.chdir(folder)
        run(["simulate", "n_images=40"])
        run(["process", *sorted(str(p) for p in Path("simulated").glob("*.cbf"))])
        write()


def run(arguments: list[str]) -> None:
    """Run a command in this process."""
    from spindle.cli.main import main as spindle

    code = spindle(arguments)
    if code:
        sys.exit(f"spindle {arguments[0]} ended with {code}")


def write() -> None:
    """Ask numba and write one file per package."""
    from numba.core.dispatcher import Dispatcher

    from spindle.execution.precompile import FILE, type_from_text

    lists: dict[str, dict[str, list[list[str]]]] = {}
    for name, module in sorted(sys.modules.items()):
        package = name.partition(".")[0]
        if package != "spindle" and not package.startswith("spindle_"):
            continue
        for attribute, kernel in sorted(vars(module).items()):
            if not isinstance(kernel, Dispatcher) or kernel.py_func.__module__ != name:
                continue
            for signature in kernel.nopython_signatures:
                texts = [repr(t) for t in signature.args]
                try:
                    for text in texts:
                        type_from_text(text)
                except ValueError as error:
                    print(f"left out {name}.{attribute}: {error}")
                    continue
                lists.setdefault(package, {}).setdefault(f"{name}.{attribute}", []).append(texts)
    for package, kernels in lists.items():
        place = Path(str(sys.modules[package].__file__)).parent / FILE
        place.write_text(json.dumps({k: sorted(v) for k, v in sorted(kernels.items())}, indent=1) + "\n")
        print(f"{place.parent.name}: {sum(map(len, kernels.values()))} signatures")


if __name__ == "__main__":
    main()
