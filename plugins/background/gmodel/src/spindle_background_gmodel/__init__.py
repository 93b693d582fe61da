"""An image of the background, scaled to each reflection."""

from __future__ import annotations

from .algorithm import GmodelBackground

__all__ = ["GmodelBackground"]
