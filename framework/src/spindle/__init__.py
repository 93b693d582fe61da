"""Spindle: rotation diffraction data processing in which every algorithm is a plugin.

Importing this package is cheap; its names are imported when they are first used.
"""

from __future__ import annotations

import sys

if getattr(sys, "argv", [])[:1] == ["-m"]:
    # `python -m spindle` puts the current folder first on the path; a json.py beside the images must not be run.
    import os

    if not sys.flags.safe_path and sys.path and sys.path[0] in ("", os.getcwd()):
        del sys.path[0]

from ._version import __version__


class _NumbaAwaited:
    """Finds no module, but has the cache of compiled kernels prepared before anything imports numba.

    numba itself keeps kernels beside their sources, and takes them for good when a library has changed whose kernels they call.
    """

    @classmethod
    def find_spec(cls, name: str, path: object = None, target: object = None) -> None:
        """See `importlib.abc.MetaPathFinder`."""
        if name == "numba":
            sys.meta_path.remove(cls)
            from importlib import import_module

            import_module("spindle.execution.compile_cache").prepare_compile_cache()


if "numba" not in sys.modules and _NumbaAwaited not in sys.meta_path:
    sys.meta_path.insert(0, _NumbaAwaited)

TYPE_CHECKING = False  # that of typing, which takes a tenth of the time in which a shell wants its completion
if TYPE_CHECKING:
    from typing import Any

    from spindle.contracts import ProgramResult
    from spindle.execution import Session, algorithm, compare, load, run
    from spindle.files import read_experiments, read_reflections, write_experiments, write_reflections

_LAZY = {
    "Session": "spindle.execution",
    "algorithm": "spindle.execution",
    "compare": "spindle.execution",
    "load": "spindle.execution",
    "run": "spindle.execution",
    "ProgramResult": "spindle.contracts",
    "read_experiments": "spindle.files",
    "read_reflections": "spindle.files",
    "write_experiments": "spindle.files",
    "write_reflections": "spindle.files",
}

__all__ = [
    "ProgramResult",
    "Session",
    "__version__",
    "algorithm",
    "compare",
    "load",
    "read_experiments",
    "read_reflections",
    "run",
    "write_experiments",
    "write_reflections",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'spindle' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
