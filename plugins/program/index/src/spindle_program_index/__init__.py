"""The program ``spindle index``."""

from __future__ import annotations

from .program import Index

__all__ = ["Index"]
