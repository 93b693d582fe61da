"""Candidates that became no lattice, and why."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Refusal:
    """A candidate that was refused.

    Attributes
    ----------
    cell : (6,) float64, angstrom and degrees
    n_indexed : int
        Spots within the tolerance of its points.
    rmsd_px : float or None, pixels
        After a short refinement; None when there was none.
    verdict : str
    """

    cell: np.ndarray
    n_indexed: int
    rmsd_px: float | None
    verdict: str
