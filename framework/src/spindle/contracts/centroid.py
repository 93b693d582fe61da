"""Contract of the ``centroid`` slot: positions of spots and their variances.

Chosen by ``integration.centroid.algorithm``, and used for the spots of spot finding; entry-point group
``spindle.centroid``. An implementation gets a whole block of ragged shoeboxes at once and may be called from several
threads with different blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from . import hookspec
from .checking import Checks, array, finite, instance

if TYPE_CHECKING:
    from spindle.table import Shoeboxes

__all__ = ["CentroidSpec", "Centroids"]


@dataclass(frozen=True, slots=True)
class Centroids:
    """Centroids of n shoeboxes.

    Attributes
    ----------
    position : (n, 3) float64, pixels, pixels, images
        x, y in pixels of the panel ((0, 0) is the outer corner of the first pixel) and z as array index; 0 where it
        failed.
    variance : (n, 3) float64, pixels^2, pixels^2, images^2
        Variance of each coordinate, 1/12 of the square of a pixel included; 0 where it failed.
    success : (n,) bool
        False where the pixels hold no intensity.
    """

    position: np.ndarray
    variance: np.ndarray
    success: np.ndarray


def check_centroids(arguments: dict[str, Any], result: Any) -> Centroids:
    """Refuse centroids that do not fit the block, or that are no numbers where they claim success."""
    centroids: Centroids = instance(result, Centroids, "the result")
    n = len(arguments["shoeboxes"])
    success = array(centroids.success, (n,), np.bool_, "success")
    finite(array(centroids.position, (n, 3), np.float64, "position"), "position", success)
    finite(array(centroids.variance, (n, 3), np.float64, "variance"), "variance", success, least=0.0)
    return centroids


class CentroidSpec:
    """Hooks of a centroid algorithm."""

    checks: ClassVar[Checks] = {"compute_centroids": check_centroids}

    @hookspec(firstresult=True)
    def compute_centroids(self, shoeboxes: Shoeboxes) -> Centroids:  # type: ignore[empty-body]
        """Compute the centroids of a block of shoeboxes.

        Parameters
        ----------
        shoeboxes : Shoeboxes
            n ragged shoeboxes. The intensity of a pixel is its data less its background; pixels count where they are
            valid, foreground and not overlapped.

        Returns
        -------
        Centroids
            For all n shoeboxes, in order. A single shoebox never raises: its ``success`` is False.
        """
