"""Many crystals: one indexing, one scale, merged data, groups."""

from __future__ import annotations

from .program import Multiplex

__all__ = ["Multiplex"]
