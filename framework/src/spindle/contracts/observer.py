"""Slot ``observer``: watches a run without changing it. Any number may be active; their order does not matter.

An observer may also wrap the hook of any other slot with ``@hookimpl(wrapper=True)``, to time, log or compare
algorithms.
"""

from __future__ import annotations

from typing import Any, ClassVar

from . import hookspec
from .base import ProgramResult


class ObserverSpec:
    """Hooks of an observer; all are optional."""

    optional: ClassVar[frozenset[str]] = frozenset({"step_started", "step_finished", "progressed", "table_reported"})

    @hookspec
    def step_started(self, program: str, params: Any) -> None:
        """A program begins with these effective parameters."""

    @hookspec
    def step_finished(self, program: str, result: ProgramResult, seconds: float) -> None:
        """A program has returned after ``seconds`` of wall clock."""

    @hookspec
    def progressed(self, description: str, completed: float, total: float | None) -> None:
        """Some of the work called ``description`` is done: ``completed`` of ``total`` (None if unknown)."""

    @hookspec
    def table_reported(self, table: Any) -> None:
        """A program has reported a `spindle.report.Table`."""
