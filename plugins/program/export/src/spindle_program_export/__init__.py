"""Write processed data in the format of another program."""

from __future__ import annotations

from .program import ExportProgram

__all__ = ["ExportProgram"]
