"""Unmerged MTZ files as experiments and reflections."""

from __future__ import annotations

from .algorithm import MtzImporter

__all__ = ["MtzImporter"]
