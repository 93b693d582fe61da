"""Predict where and when the reflections of crystals are seen."""

from __future__ import annotations

from .program import Predict

__all__ = ["Predict"]
