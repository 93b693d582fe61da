"""Cut sweeps to some of their images."""

from __future__ import annotations

from .program import SliceSequence

__all__ = ["SliceSequence"]
