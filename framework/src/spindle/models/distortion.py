"""Where a panel sees a ray that should meet it elsewhere: tapers of glass fibres, lenses, electron optics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

__all__ = ["Distortion"]


@dataclass(frozen=True, eq=False)
class Distortion:
    """Shifts of each pixel of a panel.

    Attributes
    ----------
    load : function without arguments
        Gives the maps dx and dy, (slow, fast) float64, pixels: a ray that meets the panel at a position is seen at that
        position plus the shift of the pixel there. Called once, when a position is converted for the first time.
    name : str
        What tells the maps from others: the files they come from.
    """

    load: Callable[[], tuple[np.ndarray, np.ndarray]] = field(repr=False)
    name: str = ""

    @cached_property
    def maps(self) -> tuple[np.ndarray, np.ndarray]:
        """(slow, fast) float64, pixels: dx and dy."""
        return self.load()

    def at(self, xy: np.ndarray) -> np.ndarray:
        """Shifts (n, 2) of the pixels in which positions (n, 2) lie; beyond the edges those of the nearest pixels."""
        dx, dy = self.maps
        height, width = dx.shape
        column = np.clip(np.nan_to_num(np.floor(xy[:, 0])), 0, width - 1).astype(np.int64)
        row = np.clip(np.nan_to_num(np.floor(xy[:, 1])), 0, height - 1).astype(np.int64)
        return np.stack([dx[row, column], dy[row, column]], axis=1)
