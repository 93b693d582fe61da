"""Correction of intensities for the diamond anvils of a pressure cell."""

from __future__ import annotations

from .program import AnvilCorrection

__all__ = ["AnvilCorrection"]
