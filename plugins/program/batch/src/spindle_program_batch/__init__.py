"""Process many data sets, each in a folder of its own, with one table, page and file of results."""

from __future__ import annotations

from .program import Batch

__all__ = ["Batch"]
