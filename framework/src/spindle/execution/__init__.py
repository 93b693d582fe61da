"""Running programs: context, executors, progress, outputs and records.

Names are imported when they are first used: whatever imports numba first comes here to have the cache of compiled kernels prepared, before the
modules are there that run programs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from spindle.plugins import PluginFile, add_plugin_files, plugin_files

    from .apart import (
        Common,
        Function,
        begin_worker,
        open_function,
        pack_apart,
        pack_function,
        pack_item,
        unpack,
        work,
    )
    from .changes import first_change, images_of
    from .children import module_command, program_command
    from .comparing import compare
    from .compile_cache import prepare_compile_cache
    from .context import RunContext
    from .executor import (
        Executor,
        available_cores,
        is_inside_worker,
        map_ordered,
        map_serial,
        map_threads,
        name_item,
        run_item,
    )
    from .heard import HeardWarnings
    from .importing import import_results
    from .loading import Loaded, load
    from .outputs import check_folder, check_writable
    from .progress import Progress
    from .protection import check_files
    from .record import file_entry, read_record
    from .runner import Session, algorithm, run
    from .settings import RunSettings
    from .steps import Record, execute, nested_params

_LAZY = {
    "Common": "spindle.execution.apart",
    "Executor": "spindle.execution.executor",
    "Function": "spindle.execution.apart",
    "HeardWarnings": "spindle.execution.heard",
    "Loaded": "spindle.execution.loading",
    "PluginFile": "spindle.plugins",
    "Progress": "spindle.execution.progress",
    "Record": "spindle.execution.steps",
    "RunContext": "spindle.execution.context",
    "RunSettings": "spindle.execution.settings",
    "Session": "spindle.execution.runner",
    "add_plugin_files": "spindle.plugins",
    "algorithm": "spindle.execution.runner",
    "available_cores": "spindle.execution.executor",
    "begin_worker": "spindle.execution.apart",
    "check_files": "spindle.execution.protection",
    "check_folder": "spindle.execution.outputs",
    "check_writable": "spindle.execution.outputs",
    "compare": "spindle.execution.comparing",
    "execute": "spindle.execution.steps",
    "file_entry": "spindle.execution.record",
    "first_change": "spindle.execution.changes",
    "images_of": "spindle.execution.changes",
    "import_results": "spindle.execution.importing",
    "is_inside_worker": "spindle.execution.executor",
    "load": "spindle.execution.loading",
    "map_ordered": "spindle.execution.executor",
    "map_serial": "spindle.execution.executor",
    "map_threads": "spindle.execution.executor",
    "module_command": "spindle.execution.children",
    "name_item": "spindle.execution.executor",
    "nested_params": "spindle.execution.steps",
    "open_function": "spindle.execution.apart",
    "pack_apart": "spindle.execution.apart",
    "pack_function": "spindle.execution.apart",
    "pack_item": "spindle.execution.apart",
    "plugin_files": "spindle.plugins",
    "prepare_compile_cache": "spindle.execution.compile_cache",
    "program_command": "spindle.execution.children",
    "read_record": "spindle.execution.record",
    "run": "spindle.execution.runner",
    "run_item": "spindle.execution.executor",
    "unpack": "spindle.execution.apart",
    "work": "spindle.execution.apart",
}

__all__ = [
    "Common",
    "Executor",
    "Function",
    "HeardWarnings",
    "Loaded",
    "PluginFile",
    "Progress",
    "Record",
    "RunContext",
    "RunSettings",
    "Session",
    "add_plugin_files",
    "algorithm",
    "available_cores",
    "begin_worker",
    "check_files",
    "check_folder",
    "check_writable",
    "compare",
    "execute",
    "file_entry",
    "first_change",
    "images_of",
    "import_results",
    "is_inside_worker",
    "load",
    "map_ordered",
    "map_serial",
    "map_threads",
    "module_command",
    "name_item",
    "nested_params",
    "open_function",
    "pack_apart",
    "pack_function",
    "pack_item",
    "plugin_files",
    "prepare_compile_cache",
    "program_command",
    "read_record",
    "run",
    "run_item",
    "unpack",
    "work",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'spindle.execution' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
