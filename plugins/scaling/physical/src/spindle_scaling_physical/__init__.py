"""Scale, decay and absorption as smooth functions: the physical scaling model."""

from __future__ import annotations

from .algorithm import PhysicalScaling

__all__ = ["PhysicalScaling"]
