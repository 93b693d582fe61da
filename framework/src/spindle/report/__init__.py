"""Tables and reports shared by programs."""

from __future__ import annotations

from .table import Table, format_value, render

__all__ = ["Table", "format_value", "render"]
