"""Correction of the absorption by a tape of finite width, traced as a box."""

from __future__ import annotations

from .algorithm import Kapton2019Absorption

__all__ = ["Kapton2019Absorption"]
