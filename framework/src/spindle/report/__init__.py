"""Tables and reports shared by programs."""

from __future__ import annotations

from .html import definitions_html, table_html
from .screen import DETAIL
from .section import Section
from .table import Table, format_value, render

__all__ = ["DETAIL", "Section", "Table", "definitions_html", "format_value", "render", "table_html"]
