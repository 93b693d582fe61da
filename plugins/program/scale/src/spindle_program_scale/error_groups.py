"""Which data sets share an error model."""

from __future__ import annotations

import itertools
import logging

from spindle.errors import ParameterError
from spindle.params import Auto
from spindle_lib_noise.signal import sets_by_counts

from .data import Observations
from .params import ScaleParams


def groups_of_errors(obs: Observations, params: ScaleParams, log: logging.Logger) -> list[list[int]]:
    """Data sets that share an error model."""
    choice, n_sets = params.weighting.error_model.grouping, obs.n_sets
    if choice is Auto:
        if not len(obs.expected_counts):
            return [list(range(n_sets))]
        found = sets_by_counts(obs.number, obs.expected_counts > 0, obs.groups.index, n_sets)
        if len(found) > 1 and params.weighting.error_model.error_model is not None:
            log.info(
                "Of %d data sets %d tell the counts that their variances are made of (column expected_counts); the others, of other programs, have an "
                "error model of their own. weighting.error_model.grouping=combined is one for all", n_sets, len(found[0]),
            )  # fmt: skip
        return found
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
