"""Reading JSON of others strictly: what another program would read otherwise, or could not write, is refused."""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = ["json_content"]

# Half of a character, or what stands for a whole one; U+DC80 to U+DCFF are bytes of file names that are no UTF-8.
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def json_content(content: bytes | str) -> Any:
    """What JSON says.

    Raises
    ------
    ValueError
        If it is no JSON, is nested too deeply, names something twice, has a whole number of thousands of digits, or a text with half
        of a character (a lone surrogate).
    """
    try:
        text = content if isinstance(content, str) else content.decode(json.detect_encoding(content))
        found = json.loads(text, object_pairs_hook=_object)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except ValueError as error:
        if "integer string conversion" in str(error):
            raise ValueError("a whole number has thousands of digits") from error
        raise
    if _SURROGATE.search(text):
        try:
            json.dumps(found, ensure_ascii=False).encode(errors="surrogateescape")
        except UnicodeEncodeError as error:
            half = ascii(error.object[error.start])
            raise ValueError(f"a text has half of a character, {half}") from error
    return found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"{twice[:60]!r} is there twice in one object")
    return found
