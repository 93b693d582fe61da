"""Refinement of experimental models against observed spot centroids."""

from __future__ import annotations

from .algorithm import CentroidRefiner

__all__ = ["CentroidRefiner"]
