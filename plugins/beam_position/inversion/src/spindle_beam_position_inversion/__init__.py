"""Beam position about which images look the same when mirrored."""

from __future__ import annotations

from .algorithm import InversionBeamPosition

__all__ = ["InversionBeamPosition"]
