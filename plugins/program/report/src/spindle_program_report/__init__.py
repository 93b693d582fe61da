"""`spindle report`."""

from __future__ import annotations

from .program import Report

__all__ = ["Report"]
