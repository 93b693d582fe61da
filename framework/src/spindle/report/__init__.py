"""Tables and reports shared by programs."""

from __future__ import annotations

from .screen import DETAIL
from .section import Section
from .table import Table, format_value, render

__all__ = ["DETAIL", "Section", "Table", "format_value", "render"]
