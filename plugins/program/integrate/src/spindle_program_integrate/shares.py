"""What foregrounds hold of their spots, as a profile fitter tells it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from spindle.table import ReflectionTable

__all__ = ["ShareOf"]


@dataclass(frozen=True)
class ShareOf:
    """What the foregrounds of some rows hold of their spots."""

    fitter: Any
    table: ReflectionTable

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        share: np.ndarray = self.fitter.recorded_share(self.table.select(rows))
        return share
