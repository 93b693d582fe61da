"""The dose-decay scaling model: decay in proportion to dose, shared by crystals."""

from __future__ import annotations

from .algorithm import DoseDecayScaling

__all__ = ["DoseDecayScaling"]
