"""Contract of the ``absorption`` slot: what fraction of each reflection a sample support or another body in the beam lets through.

Chosen by ``absorption_correction.algorithm`` of integrate; entry-point group ``spindle.absorption``. Several may be applied one after the
other. One call for each experiment, with all of its reflections.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from . import hookspec
from .checking import Checks, Fault, array, finite, instance

if TYPE_CHECKING:
    from spindle.contracts.profile import ForegroundMasks
    from spindle.models import Experiment
    from spindle.table import ReflectionTable

__all__ = ["AbsorptionFactors", "AbsorptionSpec"]


@dataclass(frozen=True, slots=True)
class AbsorptionFactors:
    """By what measured intensities are to be multiplied.

    Attributes
    ----------
    factor : (n,) float64
        1 / transmission of each reflection; 1 where nothing is absorbed.
    sigma : (n,) float64
        Standard uncertainty of the factor; 0 where it counts as exact.
    """

    factor: np.ndarray
    sigma: np.ndarray

    def __mul__(self, other: AbsorptionFactors) -> AbsorptionFactors:
        """Both bodies; their uncertainties are independent."""
        factor = self.factor * other.factor
        return AbsorptionFactors(factor, np.hypot(self.sigma * other.factor, other.sigma * self.factor))

    def apply(self, value: np.ndarray, variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Corrected intensities (n,) and their variances (n,): f^2 var(I) + I^2 sigma(f)^2."""
        return value * self.factor, variance * self.factor**2 + (value * self.sigma) ** 2


def check_factors(arguments: dict[str, Any], result: Any) -> AbsorptionFactors:
    """Refuse factors that are none: of other number, below 1 or without end."""
    found: AbsorptionFactors = instance(result, AbsorptionFactors, "the result")
    n = len(arguments["reflections"])
    factor = array(found.factor, (n,), np.float64, "factor")
    finite(factor, "factor")
    if n and factor.min() < 1.0 - 1e-9:
        raise Fault(
            f"factor is {factor.min()} in row {int(np.argmin(factor))}; nothing lets through more than all: at least 1"
        )
    finite(array(found.sigma, (n,), np.float64, "sigma"), "sigma", least=0.0)
    return found


class AbsorptionSpec:
    """Hooks of a correction of absorption."""

    checks: ClassVar[Checks] = {"absorption_factors": check_factors}
    added: ClassVar[dict[str, dict[str, Any]]] = {"absorption_factors": {"foreground": None}}

    @hookspec(firstresult=True)
    def absorption_factors(  # type: ignore[empty-body]
        self, experiment: Experiment, reflections: ReflectionTable, foreground: ForegroundMasks | None
    ) -> AbsorptionFactors:
        """Factors of the reflections of one experiment.

        Parameters
        ----------
        experiment : Experiment
            Beam, goniometer, scan, detector and crystal.
        reflections : ReflectionTable
            n rows with ``s1``, ``xyzcal.px``, ``xyzcal.mm`` (mm, radians), ``panel``, ``miller_index``, ``bbox``; n may be 0.
        foreground : ForegroundMasks or None
            Which pixels of each box belong to the spot, where that is known: a factor may be a mean over them.

        Returns
        -------
        AbsorptionFactors
        """
