"""Contract of the ``outlier`` slot: which observations do not belong to the bulk, by their residuals.

Chosen by ``refinement.reflections.outlier.algorithm``; entry-point group ``spindle.outlier``. The caller divides the
reflections into groups (experiments, panels, blocks of the scan) and asks once per group, perhaps from several
threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from . import hookspec
from .checking import Checks, array

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["OutlierSpec"]


def check_outliers(arguments: dict[str, Any], result: Any) -> np.ndarray:
    """Refuse what is not one bool per row."""
    return array(result, (len(arguments["residuals"]),), np.bool_, "the result")


class OutlierSpec:
    """Hooks of the ``outlier`` slot."""

    checks: ClassVar[Checks] = {"find_outliers": check_outliers}
    added: ClassVar[dict[str, dict[str, Any]]] = {"find_outliers": {"leniency": 1.0}}

    @hookspec(firstresult=True)
    def find_outliers(
        self, residuals: np.ndarray, names: Sequence[str], pixel_size: np.ndarray, leniency: float
    ) -> np.ndarray:
        """Tell outliers from the bulk of one group of reflections.

        Parameters
        ----------
        residuals : (n, k) float64
            Calculated minus observed: x and y in mm, then (for scans) the angle in radians. All finite.
        names : sequence of k str
            ``x_resid``, ``y_resid`` and perhaps ``phi_resid``.
        pixel_size : (2,) float64, mm
            Pixel size of the group's first panel.
        leniency : float
            How much wider than usual the bulk may be: 1, or 2 where the models are rough. Methods that learn the width of the bulk
            may leave it out.

        Returns
        -------
        (n,) bool
            True for outliers. The same input always gives the same answer.

        """
