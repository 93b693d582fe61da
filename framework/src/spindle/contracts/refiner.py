"""Contract of the ``refiner`` slot: better models from observed spot positions.

Chosen by ``refinement.algorithm``; entry-point group ``spindle.refiner``. One call is one macrocycle: it selects
reflections, rejects outliers, refines, and returns new models and updated predictions. It changes none of its
arguments.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from spindle.errors import UserError

from . import hookspec
from .checking import Checks, Fault, array, finite, instance, items

if TYPE_CHECKING:
    from spindle.models import Experiments
    from spindle.params import Params
    from spindle.table import ReflectionTable

__all__ = ["Purpose", "RefinementError", "RefinementResult", "RefinementStep", "RefinerSpec"]


Purpose = Literal["candidate", "indexing", "refinement"]


class RefinementError(UserError):
    """Refinement that cannot start, diverged or led to an absurd model; says why and what to try."""


@dataclass(frozen=True, slots=True)
class RefinementStep:
    """State of a refinement after a step; step 0 is the start.

    Attributes
    ----------
    n_reflections : int
        Reflections in the sums.
    rmsd : (3,) float64
        Unweighted RMSDs of x, y (mm) and angle (radians; delta-psi for stills).
    objective : float
        Half the weighted sum of squared residuals, restraints included.
    journal : dict
        What ``refinery.journal`` asks for.

    """

    n_reflections: int
    rmsd: np.ndarray
    objective: float
    journal: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class RefinementResult:
    """What a refiner returns.

    Attributes
    ----------
    experiments : Experiments
        Refined models, shared as in the input.
    reflections : ReflectionTable
        All rows of the input in their order; predictions (``xyzcal.px``, ``xyzcal.mm``, ``s1``) and flags (predicted,
        used_in_refinement, centroid_outlier, excluded_for_refinement) of indexed rows are new.
    steps : list of RefinementStep
    reason : str
        Why it stopped.
    rmsd_px : (n_experiments, 3) float64
        RMSDs per experiment in pixels, pixels and images.
    n_reflections : (n_experiments,) int64
        Reflections used per experiment.
    parameter_names : list of str
    parameter_values, parameter_esds : (p,) float64
        Refined values and estimated standard deviations.
    covariance : (p, p) float64
    reduced_chi_squared : float
    tables : list of spindle.report.Table
        Summaries for the log, in the order they arose.

    """

    experiments: Experiments
    reflections: ReflectionTable
    steps: list[RefinementStep]
    reason: str
    rmsd_px: np.ndarray
    n_reflections: np.ndarray
    parameter_names: list[str]
    parameter_values: np.ndarray
    parameter_esds: np.ndarray
    covariance: np.ndarray
    reduced_chi_squared: float
    tables: list[Any] = field(default_factory=list)


def check_refinement(arguments: dict[str, Any], result: Any) -> RefinementResult:
    """Refuse a result that lacks experiments or rows, has them in another order, or holds no numbers."""
    from spindle.models import Experiments
    from spindle.table import Flag, ReflectionTable

    found: RefinementResult = instance(result, RefinementResult, "the result")
    n = len(arguments["experiments"])
    if len(instance(found.experiments, Experiments, "experiments")) != n:
        raise Fault(f"experiments are {len(found.experiments)}, as many as were given ({n}) expected")
    before, after = arguments["reflections"], instance(found.reflections, ReflectionTable, "reflections")
    if len(after) != len(before):
        raise Fault(f"reflections have {len(after)} rows, all {len(before)} that were given expected")
    for name in ("id", "miller_index", "xyzobs.px.value"):
        if name in before and (name not in after or not np.array_equal(before[name], after[name], equal_nan=True)):
            raise Fault(f"reflections have another column {name} than were given; all rows in their order expected")
    if "xyzcal.px" in after:
        finite(after["xyzcal.px"], "xyzcal.px of indexed reflections", after.has_flags(Flag.USED_IN_REFINEMENT))
    finite(array(found.rmsd_px, (n, 3), np.float64, "rmsd_px"), "rmsd_px")
    array(found.n_reflections, (n,), "iu", "n_reflections")
    p = len(items(found.parameter_names, str, "parameter_names"))
    finite(array(found.parameter_values, (p,), np.float64, "parameter_values"), "parameter_values")
    array(found.parameter_esds, (p,), np.float64, "parameter_esds")
    array(found.covariance, (p, p), np.float64, "covariance")
    items(found.steps, RefinementStep, "steps")
    instance(found.reason, str, "reason")
    return found


class RefinerSpec:
    """Hooks of the ``refiner`` slot."""

    checks: ClassVar[Checks] = {"refine": check_refinement}
    added: ClassVar[dict[str, dict[str, Any]]] = {"refine": {"purpose": "refinement"}}

    @hookspec(firstresult=True)
    def refine(
        self,
        experiments: Experiments,
        reflections: ReflectionTable,
        settings: Params,
        scan_varying: bool,
        purpose: Purpose,
    ) -> RefinementResult:
        """Refine models against observed centroids.

        Parameters
        ----------
        experiments : Experiments
            Models to start from; all scans or all stills, each with a crystal.
        reflections : ReflectionTable
            Columns ``id, panel, miller_index, flags, xyzobs.px.value, xyzobs.px.variance``; rows that are not indexed
            are passed through.
        settings : Params
            The scope ``refinement.*``. Parameters of the refiner's own are in ``self.params``.
        scan_varying : bool
            Let models vary with the scan in this macrocycle; `settings` says which and how.
        purpose : "candidate", "indexing" or "refinement"
            What the models are for. Those of a candidate cell are rough and are refined to be compared with other candidates: few
            spots are outliers, and it is done very often. Those of indexing are still to be refined. Defaults that depend on it are
            the refiner's own.

        Returns
        -------
        RefinementResult

        Raises
        ------
        RefinementError
            If it cannot be done or the result is absurd.

        """
