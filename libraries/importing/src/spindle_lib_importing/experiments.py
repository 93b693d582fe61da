"""The experiments that a program works on, whether it was given them or their images."""

from __future__ import annotations

from typing import Any

from spindle.contracts import ProgramInputs
from spindle.errors import ParameterError
from spindle.models import Experiments

__all__ = ["experiments_of"]


def experiments_of(context: Any, inputs: ProgramInputs, **options: Any) -> Experiments:
    """Return the experiments that a program was given, else import the images that it was given.

    Parameters
    ----------
    context : RunContext
    inputs : ProgramInputs
    **options
        Parameters of ``import``, as `spindle.execution.RunContext.run_program` takes them.

    Raises
    ------
    ParameterError
        If there are neither experiments nor images, or both.
    """
    experiments: Experiments | None = inputs.experiments
    if inputs.files:
        if experiments:
            raise ParameterError(
                f"{context.program}: {inputs.files[0]} and an experiment list were given; give either images or an "
                "experiment list, not both"
            )
        experiments = context.run_program("import", files=inputs.files, **options).experiments
    if not experiments:
        raise ParameterError(
            f"{context.program}: no images: give an experiment file (spindle import writes imported.expt) or image files"
        )
    return experiments
