"""The ``null`` background model."""

from __future__ import annotations

import numpy as np

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.background import BackgroundEstimate
from spindle.table import Shoeboxes

__all__ = ["NullBackground"]


class NullBackground(Algorithm):
    """Background 0 everywhere, for images whose background has been taken away already."""

    @hookimpl
    def estimate_background(self, shoeboxes: Shoeboxes) -> BackgroundEstimate:
        """See `spindle.contracts.background.BackgroundSpec`."""
        n, n_pixels = len(shoeboxes), len(shoeboxes.data)
        return BackgroundEstimate(
            background=np.zeros(n_pixels, np.float32),
            used=np.zeros(n_pixels, np.bool_),
            mean=np.zeros(n),
            mse=np.zeros(n),
            dispersion=np.zeros(n),
            success=np.ones(n, np.bool_),
            mean_variance=np.zeros(n),
        )
