"""The ``null`` background model."""

from __future__ import annotations

import numpy as np

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.background import BackgroundEstimate, usable_pixels
from spindle.table import Shoeboxes

__all__ = ["NullBackground"]

#: Standard deviations by which a background differs from none.
SIGNIFICANT = 5.0


class NullBackground(Algorithm):
    """Background 0 everywhere, for images whose background has been taken away already.

    Whatever background there is stays in the summed intensities, as so many counts in every pixel of a spot; a warning says how many
    the first block of spots has.
    """

    @hookimpl
    def estimate_background(self, shoeboxes: Shoeboxes) -> BackgroundEstimate:
        """See `spindle.contracts.background.BackgroundSpec`."""
        self._say_what_is_left(shoeboxes)
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

    def _say_what_is_left(self, shoeboxes: Shoeboxes) -> None:
        values = shoeboxes.data[usable_pixels(shoeboxes.mask)]
        if self.context is None or not len(values) or self.__dict__.setdefault("_said", False):
            return
        self._said = True
        mean = float(values.mean(dtype=np.float64))
        if abs(mean) > SIGNIFICANT * float(values.std(dtype=np.float64)) / np.sqrt(len(values)):
            self.context.log.warning(
                "background null: pixels around spots have %.3g counts on average, all of which stays in the intensities; another model "
                "takes it away",
                mean,
            )
