"""What to do about parameters that too few reflections determine."""

from __future__ import annotations

from typing import Any

import numpy as np

from spindle.contracts.refiner import RefinementError

from .target import Target


def reduce_parameters(target: Target, settings: Any) -> Target:
    """Fix parameters, or fix them and drop reflections, until every one is determined by enough reflections.

    The parameters of ``target.problem`` are fixed in place; the target returned is a new one unless nothing was fixed.

    Raises
    ------
    RefinementError
        With ``action=fail``, naming the parameters; or when nothing is left.

    """
    scope = settings.parameterisation.auto_reduction
    fewest = scope.min_nref_per_parameter or 0
    problem = target.problem
    while True:
        observations = target.observations
        touched = target.evaluate(problem.x0).touched
        poor = np.flatnonzero(touched < fewest)
        if len(poor) == 0:
            return target
        named = ", ".join(problem.names[i] for i in poor[:12]) + (", ..." if len(poor) > 12 else "")
        if scope.action == "fail":
            raise RefinementError(
                f"fewer than {fewest} reflections determine {named}: refine fewer parameters (fix=, fix_list=, "
                f"wider intervals of scan-varying "
                "models) or set refinement.parameterisation.auto_reduction.action=fix or remove"
            )
        if scope.action == "remove":
            if len(problem.experiments) == 1 and len(problem.experiments[0].detector) == 1:
                raise RefinementError(
                    "refinement.parameterisation.auto_reduction.action=remove makes no sense for one experiment "
                    "with one panel: choose fix"
                )
            bad_cells = np.any(np.isin(target.layout.index, poor) & (target.layout.weight > 0), axis=(1, 2))
            observations = observations.select(~bad_cells[target.cell])
            if len(observations) == 0:
                raise RefinementError(f"no reflection is left after removing those that determine {named}")
        problem.fix(poor)
        if problem.n_parameters == 0:
            raise RefinementError("every parameter is determined by too few reflections")
        target = target.with_observations(observations)
