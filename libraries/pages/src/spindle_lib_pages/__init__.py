"""Self-contained pages with tables and interactive plots, which open from a mail and without a network.

`Page` joins text, tables and figures; `figures` makes the figures of the usual kinds.
"""

from __future__ import annotations

from .page import Page, text_writer

__all__ = ["Page", "text_writer"]
