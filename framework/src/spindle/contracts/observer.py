"""Slot ``observer``: watches a run without changing it. Any number may be active; their order does not matter.

An observer may also wrap the hook of any other slot with ``@hookimpl(wrapper=True)``, to time, log or compare
algorithms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from . import hookspec
from .base import ProgramResult
from .checking import Checks, instance, items

if TYPE_CHECKING:
    from spindle.models import Experiments
    from spindle.report import Section
    from spindle.table import ReflectionTable


def check_sections(arguments: dict[str, Any], result: Any) -> list[Section]:
    """Refuse what is no list of `spindle.report.Section`."""
    from spindle.report import Section

    return list(items(instance(result, (list, tuple), "the result"), Section, "the result"))


class ObserverSpec:
    """Hooks of an observer; all are optional."""

    optional: ClassVar[frozenset[str]] = frozenset(
        {"step_started", "step_finished", "progressed", "table_reported", "report_sections"}
    )
    checks: ClassVar[Checks] = {"report_sections": check_sections}

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

    @hookspec
    def report_sections(self, experiments: Experiments | None, reflections: ReflectionTable | None) -> list[Section]:
        """Add to the report of ``spindle report``, after its own sections.

        Parameters
        ----------
        experiments : Experiments or None
        reflections : ReflectionTable or None
            All reflections of the furthest step among those that were given; rows of several files joined, ``id`` is the place of their
            experiment, -1 where they belong to none. There may be no row, and any column may be missing.

        Returns
        -------
        list of spindle.report.Section
            Each with the reason in ``absent`` where it has nothing to show; empty to show nothing at all.
        """
        raise NotImplementedError
