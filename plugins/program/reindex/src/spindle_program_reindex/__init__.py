"""Describe crystals and reflections in another basis."""

from __future__ import annotations

from .program import Reindex

__all__ = ["Reindex"]
