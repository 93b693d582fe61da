"""Integration of some crystals at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from spindle.contracts import ProgramResult
from spindle.errors import UserError
from spindle.models import Experiments
from spindle.report import EVENT
from spindle.table import ReflectionTable

from .geometry import with_models_of
from .parts import Parts, results_joined

__all__ = ["NotIntegratedError", "integrated"]


class NotIntegratedError(Exception):
    """Crystals that cannot be integrated; the cause is the error that says why."""


def integrated(
    experiments: Experiments, table: ReflectionTable, size: int, context: Any, parts: Parts
) -> ProgramResult:
    """The integrated crystals, some at a time, each kept when it is finished.

    Raises
    ------
    NotIntegratedError
        If none can be integrated.
    UserError
        If a finished part cannot be written.
    """
    results: list[tuple[int, ProgramResult]] = []
    refused: NotIntegratedError | None = None
    rows = table.rows_by_experiment()
    pieces = _pieces(experiments, size)
    for k, numbers in enumerate(pieces):
        some = Experiments(experiments[i] for i in numbers)
        part = table
        if len(pieces) > 1:
            part = table.select(np.concatenate([rows.get(i, np.zeros(0, np.int64)) for i in numbers]))
            part.identifiers = {}
            part["id"] = part["id"] - np.int32(numbers[0])

        def integrate(some: Experiments = some, part: ReflectionTable = part) -> ProgramResult:
            try:
                done: ProgramResult = context.run_program("integrate", some, part, brief=True)
            except UserError as error:
                raise NotIntegratedError from error
            return done

        try:
            done = parts.result(f"integrated_{k:05d}", some, integrate)
        except NotIntegratedError as error:  # a part that cannot be written ends the run
            refused = error
            reason = str(error.__cause__).splitlines()[0]
            failed = [{"experiment": i, "image": e.image_name, "reason": reason} for i, e in enumerate(some)]
            results.append((numbers[0], ProgramResult(Experiments([]), None, summary={"failed": failed})))
            continue
        lost = {one["experiment"] for one in done.summary.get("failed", [])}
        sources = [e for i, e in enumerate(some) if i not in lost]
        if done.experiments is not None and len(sources) == len(done.experiments):
            done.experiments = with_models_of(done.experiments, sources)
        results.append((numbers[0], done))
        if len(pieces) > 1:
            context.log.info(" %d of %d crystals", numbers[-1] + 1, len(experiments), extra=EVENT)
    if refused is not None and not any(len(done.experiments or ()) for _, done in results):
        raise refused
    return results_joined(results)


def _pieces(experiments: Experiments, size: int) -> list[range]:
    """Numbers of experiments that are integrated together: about so many, all of an image in one."""
    starts, last = [0], None
    for i, e in enumerate(experiments):
        image = (id(e.imageset), None if e.scan is None else e.scan.image_range)
        if i - starts[-1] >= size and image != last:
            starts.append(i)
        last = image
    return [range(a, b) for a, b in zip(starts, [*starts[1:], len(experiments)], strict=True)]
