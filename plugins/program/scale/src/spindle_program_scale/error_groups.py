"""Which data sets share an error model."""

from __future__ import annotations

import itertools

from spindle.errors import ParameterError

from .params import ScaleParams


def groups_of_errors(n_sets: int, params: ScaleParams) -> list[list[int]]:
    """Data sets that share an error model."""
    choice = params.weighting.error_model.grouping
    if choice == "individual":
        return [[k] for k in range(n_sets)]
    if choice == "combined":
        return [list(range(n_sets))]
    given = [list(g) for g in params.weighting.error_model.error_model_group or []]
    named: set[int] = set()
    for k in itertools.chain.from_iterable(given):
        if k in named or not 0 <= k < n_sets:
            raise ParameterError(
                f"weighting.error_model.error_model_group: data set {k} {'stands in it twice' if k in named else 'is not there'}; "
                f"name each of 0 to {n_sets - 1} once at most"
            )
        named.add(k)
    rest = [k for k in range(n_sets) if k not in named]
    return given + ([rest] if rest else [])
