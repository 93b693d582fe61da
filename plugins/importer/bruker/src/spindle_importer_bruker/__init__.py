"""Parameter files of SAINT and APEX."""

from __future__ import annotations

from .algorithm import BrukerImporter

__all__ = ["BrukerImporter"]
