"""A contestant: what it was given, what it has made, what it cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from spindle.models import Experiments
from spindle.table import ReflectionTable

__all__ = ["Contestant", "Stage", "StepCost"]


@dataclass(frozen=True, slots=True)
class StepCost:
    """What a step has cost.

    Attributes
    ----------
    name : str
    seconds : float
        By the clock.
    cpu_seconds : float or None
        Without that of compiling kernels, which is spent once. None where the step was done in several processes, whose time nobody counts.
    peak_memory_mb : float or None
        Largest memory of the process during the step; None where several ran beside each other, or where the system does not tell.
    shared_by : int
        Contestants for whom it was done once.
    """

    name: str
    seconds: float
    cpu_seconds: float | None
    peak_memory_mb: float | None
    shared_by: int = 1


@dataclass(frozen=True, slots=True)
class Stage:
    """What there is after a step."""

    experiments: Experiments
    reflections: ReflectionTable


@dataclass
class Contestant:
    """One of those that are compared.

    Attributes
    ----------
    name : str
    kind : str
        "spindle", the name of a runner, or "file".
    settings : dict of str to str
    reason : str
        Why it failed; empty otherwise.
    failed_at : str
        The step.
    numbers : dict
        What steps said: n_spots, n_indexed ...
    indexed, refined, integrated, scaled : Stage or None
    costs : list of StepCost
    notes : list of str
    merged : bool
        It holds merged reflections, which have no places on images and are in `scaled`.
    """

    name: str
    kind: str = "spindle"
    settings: dict[str, str] = field(default_factory=dict)
    reason: str = ""
    failed_at: str = ""
    numbers: dict[str, Any] = field(default_factory=dict)
    indexed: Stage | None = None
    refined: Stage | None = None
    integrated: Stage | None = None
    scaled: Stage | None = None
    costs: list[StepCost] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    merged: bool = False

    @property
    def last(self) -> Stage | None:
        """What it got to."""
        return self.scaled or self.integrated or self.refined or self.indexed

    def cost(self, what: str) -> float | None:
        """The sum of "seconds" or "cpu_seconds", or the largest "peak_memory_mb", of its steps; None where one is not known."""
        values = [getattr(cost, what) for cost in self.costs]
        if not values or any(v is None for v in values):
            return None
        return float(max(values) if what == "peak_memory_mb" else sum(values))
