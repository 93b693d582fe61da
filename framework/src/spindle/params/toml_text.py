"""TOML that somebody else may have written: whatever is wrong with it is one message."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from spindle.errors import FileFormatError
from spindle.regular import read_regular

__all__ = ["MOST_BYTES", "MOST_LEVELS", "TOO_DEEP", "parse_toml", "read_toml"]

MOST_BYTES = 1 << 20  # all parameters of all programs with their values have a tenth of that
MOST_LEVELS = 40
TOO_DEEP = f"scopes are nested more than {MOST_LEVELS} levels deep"
# A key of many parts, for which the reader takes long.
_DEEP_KEY = re.compile(rf"(?<![\w\"'-])(?:[\w\"'-]++\s*+\.\s*+){{{MOST_LEVELS}}}")


def read_toml(path: Path, what: str, remedy: str) -> dict[str, Any]:
    """Content of a TOML file.

    Parameters
    ----------
    path : Path
    what : str
        What such a file is, for messages: "sets of images".
    remedy : str
        What to do about another one.

    Raises
    ------
    FileFormatError
        If it is no regular file, larger than `MOST_BYTES`, or no TOML. Nothing of its content is in the message.
    """
    content = read_regular(path, MOST_BYTES, what, remedy)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path}: byte {error.start} is not UTF-8; {remedy}") from error
    return parse_toml(text, str(path), remedy)


def parse_toml(text: str, where: str, remedy: str = "") -> dict[str, Any]:
    """Content of TOML text; ``where`` is what messages call it.

    Raises
    ------
    FileFormatError
        If it is none.
    """
    if _DEEP_KEY.search(text):
        raise FileFormatError(f"{where}: {TOO_DEEP}")
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise FileFormatError(f"{where}: {TOO_DEEP}") from error
    except ValueError as error:  # numbers of too many digits, too
        raise FileFormatError(f"{where}: not valid TOML: {_reason(str(error))}{remedy and '; '}{remedy}") from error


def _reason(message: str) -> str:
    """A message of the reader without what it quotes of the file."""
    reason, at, place = message.partition(" (at ")
    return re.sub(r"'(?!\w{1,40}')[^']*'|\"[^\"]*\"", "something else", reason)[:200] + at + place
