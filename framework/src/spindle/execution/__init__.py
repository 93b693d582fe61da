"""Running programs: context, executors, progress, outputs and records."""

from __future__ import annotations

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
