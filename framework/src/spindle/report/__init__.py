"""Tables and reports shared by programs."""

from __future__ import annotations

from .html import definitions_html, table_html
from .json import json_text
from .screen import DETAIL, EVENT
from .section import Section
from .table import Table, format_value, render

__all__ = [
    "DETAIL",
    "EVENT",
    "Section",
    "Table",
    "definitions_html",
    "format_value",
    "json_text",
    "render",
    "table_html",
]
