"""The whole chain in one command."""

from __future__ import annotations

from .program import Process

__all__ = ["Process"]
