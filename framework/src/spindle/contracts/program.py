"""Slot ``program``: a command of the command line, which is also a function on in-memory objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import hookspec
from .base import ProgramInputs, ProgramResult

if TYPE_CHECKING:
    from spindle.execution import RunContext


class ProgramSpec:
    """Hooks of a program."""

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
