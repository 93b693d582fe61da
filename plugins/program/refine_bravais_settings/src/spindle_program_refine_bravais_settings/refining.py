"""The refinement of one setting, a task for any executor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spindle.errors import UserError
from spindle.models import Experiments
from spindle.table import Flag, ReflectionTable
from spindle_lib_refinement.short_refinement import Refinement

from .settings import BravaisSetting


@dataclass(frozen=True, slots=True)
class Refined:
    """What a refinement leaves.

    Attributes
    ----------
    experiments : Experiments
        Refined models, constrained to the setting; those before, when it failed.
    rmsd_mm : float
        Root of the sum of the mean squares of the residuals in x and y; NaN when it failed.
    n_reflections : int
        Reflections used.
    failure : str
        Why it failed; empty when it did not.
    """

    experiments: Experiments
    rmsd_mm: float
    n_reflections: int
    failure: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class RefineSetting:
    """Refines models in a setting: first with reflections that have proved good, then with all but outliers.

    Attributes
    ----------
    refinement : Refinement
    experiments : Experiments
        In the basis of the input.
    reflections : ReflectionTable
        Indexed rows, with what refinement needs.
    """

    refinement: Refinement
    experiments: Experiments
    reflections: ReflectionTable

    def __call__(self, setting: BravaisSetting) -> Refined:
        """Refine in one setting; a failure is told, not raised."""
        start = setting.experiments(self.experiments)
        table = setting.reflections(self.reflections)
        try:
            # Constraints move the cell by more than the errors of spots: good spots first, or all with lenient
            # limits, lest those that the start does not describe are taken for outliers.
            good = table.select(table.has_flags(Flag.USED_IN_REFINEMENT)) if "flags" in table else table.select([])
            if _is_enough(good, table, len(start)):
                begun = self.refinement.refine(start, good, reject=False)
            else:
                begun = self.refinement.refine(start, table, "candidate")
            done = self.refinement.refine(begun.experiments, table)
        except UserError as error:
            return Refined(start, float("nan"), 0, str(error))
        rmsd = done.steps[-1].rmsd if done.steps else np.full(3, np.nan)
        return Refined(done.experiments, float(np.hypot(rmsd[0], rmsd[1])), int(done.n_reflections.sum()))


def _is_enough(good: ReflectionTable, everything: ReflectionTable, n_experiments: int) -> bool:
    """Whether the good reflections are most of all, and of every experiment."""
    if len(good) < 0.5 * len(everything):
        return False
    counts = [np.bincount(t["id"], minlength=n_experiments) for t in (good, everything)]
    return bool(np.all(counts[0] >= 0.25 * counts[1]))
