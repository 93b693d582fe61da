"""Running programs: context, executors, progress, outputs and records."""

from __future__ import annotations

from .children import module_command
from .context import RunContext
from .executor import Executor, available_cores, is_inside_worker, map_serial, name_item, run_item
from .progress import Progress
from .runner import run
from .steps import execute

__all__ = [
    "Executor",
    "Progress",
    "RunContext",
    "available_cores",
    "execute",
    "is_inside_worker",
    "map_serial",
    "module_command",
    "name_item",
    "run",
    "run_item",
]
