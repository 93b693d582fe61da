"""Contract of the ``error_model`` slot: what the scatter of equivalents says about the sigmas.

Chosen by ``weighting.error_model.error_model``; entry-point group ``spindle.error_model``. An implementation is asked
once per group of data sets, with all its observations sorted by unique reflection.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from . import hookspec
from .checking import Checks, array, finite, instance, items, number

if TYPE_CHECKING:
    from spindle.report import Table

__all__ = ["ErrorModelFit", "ErrorModelObservations", "ErrorModelSpec"]


@dataclass(frozen=True, slots=True)
class ErrorModelObservations:
    """Observations sorted by unique reflection; every array but `offsets` has one row per observation.

    Attributes
    ----------
    intensity, variance : (n,) float64
        Before division by the scale factor; the variance is that of integration.
    scale : (n,) float64
        Inverse scale factor g.
    counting : (n,) float64
        Variance that the counted photons of the reflection itself would have, (lp / qe) g <I>; 0 where it is not known.
    partiality : (n,) float64
    offsets : (m + 1,) int64
        Reflection j has the observations ``offsets[j]`` to ``offsets[j + 1]``.
    scale_error : float
        Relative rms error of the scale factors that the variances will hold besides the error model: what a model assumes about scales
        that equivalents do not tell is less by that.
    counted : bool
        Whether variances hold `counting` in full, in place of the counts that integration expected: then background and counts are both in
        them with the weight that photons have, and only what comes on top is to be found.
    """

    intensity: np.ndarray
    variance: np.ndarray
    scale: np.ndarray
    counting: np.ndarray
    partiality: np.ndarray
    offsets: np.ndarray
    scale_error: float = 0.0
    counted: bool = False


@dataclass(frozen=True, slots=True)
class ErrorModelFit:
    """Result of a fit.

    Attributes
    ----------
    kind : str
        ``error_model_type`` in the ``.expt`` file.
    parameters : tuple of float
        ``error_model_parameters`` in the ``.expt`` file.
    description : str
        One line for the log.
    tables : tuple of spindle.report.Table
        How good it is.
    details : dict
        Plain values for reports.
    """

    kind: str
    parameters: tuple[float, ...]
    description: str = ""
    tables: tuple[Table, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)


def check_fit(arguments: dict[str, Any], result: Any) -> ErrorModelFit:
    """Refuse a fit without finite parameters."""
    fit: ErrorModelFit = instance(result, ErrorModelFit, "the result")
    instance(fit.kind, str, "kind")
    for i, value in enumerate(items(fit.parameters, object, "parameters")):
        number(value, f"parameters[{i}]")
    instance(fit.description, str, "description")
    return fit


def check_variance(arguments: dict[str, Any], result: Any) -> np.ndarray:
    """Refuse variances that are no numbers, or negative."""
    variance = array(result, (len(arguments["intensity"]),), np.float64, "the result")
    with np.errstate(invalid="ignore"):
        given = np.isfinite(arguments["intensity"]) & (arguments["variance"] >= 0) & np.isfinite(arguments["variance"])
    finite(np.where(given, variance, 0.0), "the result", least=0.0)
    return variance


class ErrorModelSpec:
    """Hooks of an error model."""

    checks: ClassVar[Checks] = {
        "fit_error_model": check_fit,
        "default_error_model": check_fit,
        "corrected_variance": check_variance,
    }

    @hookspec(firstresult=True)
    def fit_error_model(self, observations: ErrorModelObservations, start: ErrorModelFit | None) -> ErrorModelFit:
        """Find the parameters from the scatter of equivalents.

        Parameters
        ----------
        observations : ErrorModelObservations
            Without outliers.
        start : ErrorModelFit or None
            An earlier fit; None asks for one from scratch.

        Returns
        -------
        ErrorModelFit
        """
        raise NotImplementedError

    @hookspec(firstresult=True)
    def default_error_model(self) -> ErrorModelFit:
        """The error model assumed before anything was fitted."""
        raise NotImplementedError

    @hookspec(firstresult=True)
    def corrected_variance(
        self,
        intensity: np.ndarray,
        variance: np.ndarray,
        expected: np.ndarray,
        counting: np.ndarray,
        model: ErrorModelFit,
    ) -> np.ndarray:
        """Variances under an error model.

        Parameters
        ----------
        intensity, variance : (n,) float64
            Before division by the scale factor.
        expected : (n,) float64
            The intensity expected from the equivalents, g <I>; equals `intensity` where there are none.
        counting : (n,) float64
            As in `ErrorModelObservations`.
        model : ErrorModelFit

        Returns
        -------
        (n,) float64
        """
        raise NotImplementedError
