"""Tables and reports shared by programs."""

from __future__ import annotations

from .table import Table, render

__all__ = ["Table", "render"]
