"""Running programs: context, executors, progress, outputs and records."""

from __future__ import annotations

from .changes import first_change, images_of
from .children import module_command
from .compile_cache import prepare_compile_cache
from .context import RunContext
from .executor import Executor, available_cores, is_inside_worker, map_serial, name_item, run_item
from .importing import import_results
from .outputs import check_folder, check_writable
from .progress import Progress
from .protection import check_files
from .record import read_record
from .runner import Session, algorithm, run
from .settings import RunSettings
from .steps import Record, execute, nested_params

__all__ = [
    "Executor",
    "Progress",
    "Record",
    "RunContext",
    "RunSettings",
    "Session",
    "algorithm",
    "available_cores",
    "check_files",
    "check_folder",
    "check_writable",
    "execute",
    "first_change",
    "images_of",
    "import_results",
    "is_inside_worker",
    "map_serial",
    "module_command",
    "name_item",
    "nested_params",
    "prepare_compile_cache",
    "read_record",
    "run",
    "run_item",
]
