"""What the user has given, and which step takes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spindle.contracts import ProgramInputs
from spindle.errors import UserError
from spindle.table import INTEGRATED, Flag

from .steps import AGAIN, NAMES, REFINE, STEPS, Step, files_read, given_experiments

__all__ = ["files_for", "first_step", "has_spots"]


def first_step(inputs: ProgramInputs, params: Any) -> int:
    """Number of the first step: that of ``start_at``, else the one that reads the reflections given, or find_spots for experiments alone.

    Raises
    ------
    UserError
        If there are several reflection files, or one without its experiments.
    """
    start = NAMES.index(params.start_at)
    if not inputs.reflections:
        return start or int(inputs.experiments is not None)
    names = [str(p) for p in inputs.sources if p.suffix == ".refl"] or ["a table of reflections"]
    if len(inputs.reflections) > 1:
        raise UserError(
            f"process: {names[-1]} is one of {len(inputs.reflections)} reflection files, and a run takes up one; put them together with "
            "spindle combine_experiments"
        )
    if inputs.experiments is None:
        raise UserError(
            f"process: {names[0]} was given without its experiments; give the .expt file that belongs to it, too"
        )
    if start > 1:
        return start
    reflections = inputs.reflections[0]
    if "intensity.scale.value" in reflections and "inverse_scale_factor" in reflections:
        return NAMES.index("merge")
    if reflections.has_flags(INTEGRATED, all=False).any():
        return NAMES.index("symmetry")
    has_crystals = any(e.crystal is not None for e in inputs.experiments)
    is_indexed = has_crystals and bool(reflections.has_flags(Flag.INDEXED).any())
    return NAMES.index("refine" if is_indexed else "index")


def has_spots(first: int) -> bool:
    """Whether a run that begins with a step has, or makes, the spots of a refinement."""
    return first <= STEPS.index(REFINE) + 1


def files_for(step: Step, params: Any, inputs: ProgramInputs, first: int, again: bool) -> list[Path]:
    """All files that a step after import reads; those that the user gave for the first of a run that takes up reflections.

    Parameters
    ----------
    step : Step
    params : Params
        Those of `process`.
    inputs : ProgramInputs
    first : int
        Number of the first step that works on what was given.
    again : bool
        Whether models are refined again in the symmetry found.
    """
    if inputs.reflections and step is STEPS[first] and step is not AGAIN:
        return [p for p in inputs.sources if p not in inputs.files]
    return files_read(step, params, given_experiments(inputs), again)
