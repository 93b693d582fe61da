"""Robust Poisson regression of the background."""

from __future__ import annotations

from .algorithm import GlmBackground

__all__ = ["GlmBackground"]
