"""One scale and one B factor per data set: the KB scaling model."""

from __future__ import annotations

from .algorithm import KBScaling

__all__ = ["KBScaling"]
