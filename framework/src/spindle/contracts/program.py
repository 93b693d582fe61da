"""Slot ``program``: a command of the command line, which is also a function on in-memory objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from . import hookspec
from .base import ProgramInputs, ProgramResult
from .checking import Checks, Fault, instance

if TYPE_CHECKING:
    from spindle.execution import RunContext

__all__ = ["ProgramInputs", "ProgramResult", "ProgramSpec"]


def check_result(arguments: dict[str, Any], result: Any) -> ProgramResult:
    """Refuse what is no `ProgramResult` with models and tables in it; numbers of its summary become plain ones."""
    from spindle.models import Experiments
    from spindle.report import Table
    from spindle.table import ReflectionTable

    found: ProgramResult = instance(result, ProgramResult, "the result")
    if found.experiments is not None:
        instance(found.experiments, Experiments, "experiments")
    if found.reflections is not None:
        instance(found.reflections, ReflectionTable, "reflections")
    for i, table in enumerate(instance(found.tables, list, "tables")):
        instance(table, Table, f"tables[{i}]")
    for key, value in instance(found.summary, dict, "summary").items():
        found.summary[key] = _without_scalars(value)
    for path, writer in instance(found.files, dict, "files").items():
        if not callable(writer):
            raise Fault(f"files[{str(path)!r}] is {type(writer).__name__}, a function that writes to a path expected")
    return found


def _without_scalars(value: Any) -> Any:
    """The value with plain numbers in place of numpy's, which print as ``np.float64(0.1)``."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {k: _without_scalars(v) for k, v in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_without_scalars(v) for v in value)
    return value


class ProgramSpec:
    """Hooks of a program."""

    checks: ClassVar[Checks] = {"run": check_result}

    @hookspec(firstresult=True)
    def run(self, inputs: ProgramInputs, params: Any, context: RunContext) -> ProgramResult:
        """Do the work.

        Parameters
        ----------
        inputs : ProgramInputs
            Experiments, reflections and other files that were given.
        params : Params
            The program's effective parameters, with those of the chosen algorithms inside.
        context : RunContext
            Other plugins, workers, log, progress, cancellation and random numbers.

        Returns
        -------
        ProgramResult
            What the host writes and reports. The program itself writes nothing.
        """
