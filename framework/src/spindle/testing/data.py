"""Where tests find shared data, and plugins and contexts as the host makes them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

SHARED_DATA_VARIABLE = "SPINDLE_SHARED_DATA"


def repository_root() -> Path | None:
    """Return the root of the repository around the current folder or this installed source, or None outside of one."""
    for start in (Path.cwd(), Path(__file__).resolve()):
        for folder in (start, *start.parents):
            if (folder / "workspace.txt").is_file() and (folder / "framework").is_dir():
                return folder
            if (folder / ".git").exists() and (folder / "framework").is_dir():
                return folder
    return None


def shared_data(name: str = "") -> Path:
    """Return the folder ``name`` of the shared data; skip the test with the reason when it is not there.

    Shared data are in the folder that the environment variable SPINDLE_SHARED_DATA names, else in ``../shared/data``
    beside the repository.
    """
    import pytest

    candidates = []
    if os.environ.get(SHARED_DATA_VARIABLE):
        candidates.append(Path(os.environ[SHARED_DATA_VARIABLE]))
    else:
        root = repository_root()
        if root is not None:
            candidates.append(root.parent / "shared" / "data")
    for folder in candidates:
        if (folder / name).exists():
            return folder / name
    looked = " or ".join(str(c) for c in candidates) or "no repository found"
    raise pytest.skip.Exception(
        f"shared data {name!r} not found ({looked}); set {SHARED_DATA_VARIABLE} to the folder that holds it"
    )


def make_context(program: str = "test", n_workers: int = 1, params: Any = None) -> Any:
    """Return a `spindle.execution.RunContext` for a plugin under test."""
    from spindle.execution import Executor, RunContext
    from spindle.params import HostParams
    from spindle.params.resolve import build

    context = RunContext(program, params if params is not None else build(HostParams))
    plugin = context.algorithm("executor", "threads") if n_workers > 1 else None
    context._executor = Executor(plugin, n_workers)
    return context


def as_called_by_host(slot: str, plugin: Any) -> Any:
    """Return the `spindle.plugins.host.Handle` through which the host calls a plugin.

    Arrays arrive read-only, results are checked, hooks that the plugin leaves out have the defaults of their slot. Tests that
    call a plugin directly compile its kernels for arrays that may be written, which no run does.
    """
    from spindle.plugins.host import Handle, PluginHost

    return plugin if isinstance(plugin, Handle) else PluginHost().add(slot, type(plugin).__name__, plugin)
