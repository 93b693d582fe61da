"""Rocking curves of stills: their width from intensities, and partialities."""

from __future__ import annotations

from .rocking import FEWEST, rocking_width, still_partiality
from .spreads import rescaled_spreads

__all__ = ["FEWEST", "rescaled_spreads", "rocking_width", "still_partiality"]
