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
MOST_BITS = 1024  # what a floating-point number holds
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
        found = tomllib.loads(text)
    except RecursionError as error:
        raise FileFormatError(f"{where}: {TOO_DEEP}") from error
    except ValueError as error:  # numbers of too many digits, too
        raise FileFormatError(f"{where}: not valid TOML: {_reason(str(error))}{remedy and '; '}{remedy}") from error
    if "0x" in text or "0o" in text or "0b" in text:  # decimal ones of so many digits are no TOML for the reader
        _refuse_giants(found, where)
    return found


def _refuse_giants(content: dict[str, Any], where: str) -> None:
    """Refuse whole numbers that Python reads but does not write."""
    left: list[Any] = [content]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            left += value.values()
        elif isinstance(value, list):
            left += value
        elif isinstance(value, int) and value.bit_length() > MOST_BITS:
            raise FileFormatError(
                f"{where}: a whole number has {value.bit_length()} bits: at most {MOST_BITS} expected"
            )


def _reason(message: str) -> str:
    """A message of the reader without what it quotes of the file."""
    reason, at, place = message.partition(" (at ")
    return re.sub(r"'(?!\w{1,40}')[^']*'|\"[^\"]*\"", "something else", reason)[:200] + at + place
