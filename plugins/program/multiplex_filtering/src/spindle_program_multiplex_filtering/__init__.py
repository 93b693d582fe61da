"""Repeats the filter by CC1/2 on a finished run of multiplex."""

from __future__ import annotations

from .program import MultiplexFiltering

__all__ = ["MultiplexFiltering"]
