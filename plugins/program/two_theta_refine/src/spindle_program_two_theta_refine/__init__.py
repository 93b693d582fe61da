"""Refine cells against scattering angles alone, with their standard deviations."""

from __future__ import annotations

from .program import TwoThetaRefine

__all__ = ["TwoThetaRefine"]
