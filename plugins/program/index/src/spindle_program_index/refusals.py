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


def nothing_found(is_known: bool) -> str:
    """What to tell when there is no candidate; `is_known`: with a symmetry or a cell that the user gave."""
    text = "index: no suitable lattice could be found."
    if is_known:
        text += (
            " None of the candidates agrees with indexing.known_symmetry: leave unit_cell and space_group out to see which "
            "cell the spots have, or loosen max_delta, relative_length_tolerance and absolute_angle_tolerance."
        )
    return text
