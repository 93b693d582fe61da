"""Least-squares background models with outlier rejection."""

from __future__ import annotations

from .algorithm import SimpleBackground

__all__ = ["SimpleBackground"]
