"""The centroid algorithm ``simple``."""

from __future__ import annotations

import numpy as np

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.centroid import Centroids
from spindle.table import MaskCode, Shoeboxes

from .kernels import centroids

__all__ = ["SimpleCentroid"]


class SimpleCentroid(Algorithm):
    """Intensity-weighted mean of the pixel centres of the valid foreground."""

    @hookimpl
    def compute_centroids(self, shoeboxes: Shoeboxes) -> Centroids:
        """Compute centroids; see `spindle.contracts.centroid.CentroidSpec`."""
        n = len(shoeboxes)
        result = Centroids(np.zeros((n, 3)), np.zeros((n, 3)), np.zeros(n, np.bool_))
        if n:
            centroids(
                shoeboxes.bbox, shoeboxes.offsets, shoeboxes.data, shoeboxes.mask, shoeboxes.background,
                MaskCode.VALID | MaskCode.FOREGROUND, MaskCode.OVERLAPPED, result.position, result.variance,
                result.success,
            )  # fmt: skip
        return result
