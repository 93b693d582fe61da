"""Volumes of reciprocal space from images."""

from __future__ import annotations

from .program import RsMapper

__all__ = ["RsMapper"]
