"""Calls of the refiner: short ones for candidates, full ones for macro-cycles."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np

from spindle.contracts.refiner import Purpose, RefinementResult
from spindle.models import Experiments
from spindle.params import Auto
from spindle.table import ReflectionTable

#: Reflections per degree of rotation that suffice to refine a candidate.
CANDIDATE_DENSITY = 20
CANDIDATE_MINIMUM = 1000


@lru_cache(maxsize=8)
def _settings(params: Any, stills: bool) -> tuple[Any, Any, Any]:
    """Settings of refinement, of that of a candidate, and of that of a crystal alone; of many stills they are the same."""
    settings = params
    if params.reflections.outlier.algorithm is Auto:
        settings = params.changed(reflections__outlier__algorithm="sauter_poon" if stills else "tukey")
    candidate = settings.changed(
        refinery__max_iterations=4,
        parameterisation__auto_reduction__action="fix",
        reflections__reflections_per_degree=CANDIDATE_DENSITY,
        reflections__outlier__separate_blocks=False,
    )
    crystal = candidate.changed(
        parameterisation__detector__fix="all",
        parameterisation__beam__fix=("all",),
        parameterisation__goniometer__fix=("all",),
    )
    return settings, candidate, crystal


class Refinement:
    """The refiner of a run with its two settings.

    Parameters
    ----------
    params : Params
        The scope ``refinement``.
    context : RunContext
    stills : bool
        Whether the experiments are stills.
    """

    def __init__(self, params: Any, context: Any, stills: bool) -> None:
        self.settings, self.candidate_settings, self.crystal_settings = _settings(params, stills)
        self.refiner = context.chosen(params)

    def refine(
        self, experiments: Experiments, reflections: ReflectionTable, purpose: Purpose = "indexing", reject: bool = True
    ) -> RefinementResult:
        """One static refinement; without outlier rejection when not `reject`."""
        settings = for_few_reflections(self.settings, reflections["id"], len(experiments))
        if not reject:
            settings = settings.changed(reflections__outlier__algorithm=None)
        return self.refiner.refine(
            experiments=experiments, reflections=reflections, settings=settings, scan_varying=False, purpose=purpose
        )

    def refine_candidate(
        self, experiments: Experiments, reflections: ReflectionTable, crystal_only: bool = False, reject: bool = True
    ) -> RefinementResult:
        """A few steps; give it as many reflections as a candidate deserves (`thin`).

        Beam and detector stay if `crystal_only`; without outlier rejection when not `reject`.
        """
        own = self.crystal_settings if crystal_only else self.candidate_settings
        if not reject:
            own = own.changed(reflections__outlier__algorithm=None)
        settings = for_few_reflections(own, reflections["id"], len(experiments))
        return self.refiner.refine(
            experiments=experiments, reflections=reflections, settings=settings, scan_varying=False, purpose="candidate"
        )


def for_few_reflections(settings: Any, number: np.ndarray, n_experiments: int) -> Any:
    """Settings whose outlier rejection does not throw a whole sweep away.

    Parameters
    ----------
    settings : Params
        The scope ``refinement``; returned as it is where every experiment has enough reflections.
    number : (n,) int
        The experiment of each reflection, -1 for none.
    n_experiments : int

    Notes
    -----
    A refiner rejects groups smaller than ``minimum_number_of_reflections`` as a whole. While indexing, a sweep with a
    handful of spots would then never be refined: it is judged together with the others, or not at all if all are few.
    """
    outlier = settings.reflections.outlier
    few = outlier.minimum_number_of_reflections or 0
    counts = np.bincount(number[number >= 0], minlength=n_experiments)
    if not outlier.separate_experiments or counts.min() >= few:
        return settings
    return _judged_together(settings, bool(counts.sum() < few))


@lru_cache(maxsize=4)
def _judged_together(settings: Any, few: bool) -> Any:
    """Settings without groups, and without rejection when all reflections are ``few``; candidates ask for them often."""
    together = settings.changed(
        reflections__outlier__separate_experiments=False, reflections__outlier__separate_blocks=False
    )
    return together.changed(reflections__outlier__algorithm="null") if few else together


def thin(experiments: Experiments, number: np.ndarray) -> np.ndarray:
    """Rows of a random part of the reflections of each experiment, always the same for the same input.

    Parameters
    ----------
    experiments : Experiments
    number : (n,) int
        The experiment of each reflection, -1 for none.
    """
    rng = np.random.default_rng(42)
    rows = []
    for i, experiment in enumerate(experiments):
        own = np.flatnonzero(number == i)
        width = 1.0
        if experiment.scan is not None and not experiment.is_still:
            width = experiment.scan.n_images * experiment.scan.oscillation_deg[1]
        wanted = max(int(1.5 * CANDIDATE_DENSITY * width), CANDIDATE_MINIMUM)
        rows.append(own if len(own) <= wanted else np.sort(rng.choice(own, wanted, replace=False)))
    return np.concatenate(rows) if rows else np.zeros(0, dtype=int)


_lock = threading.Lock()
_muted: list[int] = []  # for each thread that is inside `quiet`; the first knows what was muted before


@contextmanager
def quiet() -> Any:
    """Keep the messages of trials out of the log; of threads that do so at the same time, the last one lets them in again."""
    with _lock:
        _muted.append(_muted[0] if _muted else logging.root.manager.disable)
        logging.disable(max(_muted[0], logging.INFO))
    try:
        yield
    finally:
        with _lock:
            before = _muted.pop()
            if not _muted:
                logging.disable(before)
