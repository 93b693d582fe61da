"""Small pieces of HTML with which objects show themselves in notebooks."""

from __future__ import annotations

import html
from collections.abc import Sequence

__all__ = ["definitions_html", "table_html"]

_CELL = "padding:.15rem .6rem;text-align:left;vertical-align:top"


def definitions_html(title: str, rows: Sequence[tuple[str, str]]) -> str:
    """A title and lines of name and value."""
    lines = "".join(
        f'<tr><th style="{_CELL};font-weight:500">{html.escape(name)}</th><td style="{_CELL}">{html.escape(value)}</td></tr>'
        for name, value in rows
    )
    return f'<div><b>{html.escape(title)}</b><table style="font-size:.9em">{lines}</table></div>'


def table_html(title: str, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A title and a table of texts."""
    head = "".join(f'<th style="{_CELL}">{html.escape(h)}</th>' for h in headers)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{html.escape(cell)}</td>' for cell in row) + "</tr>" for row in rows
    )
    return f'<div><b>{html.escape(title)}</b><table style="font-size:.9em"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
