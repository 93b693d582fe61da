"""Text of files and of names as a terminal may show it.

A terminal takes control characters for commands: to overwrite what stands above, to hide text, to answer with what somebody else
typed. Names of files and texts in headers are anybody's, so their control characters are shown as ``\\x1b``, and never sent.
"""

from __future__ import annotations

import logging
import re

__all__ = ["CONTROL", "PrintableFormatter", "printable"]

# All but the tab and the line feed; the bytes of the second set where a name is no UTF-8; what turns the direction of writing.
_WILD = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\udc80-\\udc9f\u202a-\u202e\u2066-\u2069]")
CONTROL = re.compile("[\\x00-\\x1f\\x7f-\\x9f\u202a-\u202e\u2066-\u2069]")
"""What no name in a file or of a file has: line feeds and tabs, too."""


def printable(text: str) -> str:
    """Return text whose control characters are shown, but for tabs and line feeds."""
    if text.isprintable():
        return text
    return _WILD.sub(lambda found: _shown(ord(found[0])), text)


def _shown(code: int) -> str:
    code = code - 0xDC00 if code >= 0xDC00 else code
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


class PrintableFormatter(logging.Formatter):
    """A log without control characters: what is in it reaches a terminal sooner or later."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record."""
        return printable(super().format(record))
