"""Virtual frames for dynamical refinement, as CIF of PETS2."""

from __future__ import annotations

from .algorithm import PetsExporter

__all__ = ["PetsExporter"]
