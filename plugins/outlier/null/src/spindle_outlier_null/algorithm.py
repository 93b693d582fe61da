"""No outliers."""

from __future__ import annotations

import numpy as np

from spindle.contracts import Algorithm, hookimpl


class NullOutlier(Algorithm):
    """Nothing is an outlier."""

    @hookimpl
    def find_outliers(self, residuals: np.ndarray) -> np.ndarray:
        """All False; see `spindle.contracts.outlier.OutlierSpec.find_outliers`."""
        return np.zeros(len(residuals), dtype=bool)
