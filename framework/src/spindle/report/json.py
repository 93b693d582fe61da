"""JSON that every reader takes."""

from __future__ import annotations

import json
import math
from typing import Any

__all__ = ["json_text"]


def json_text(content: Any, indent: int | None = None) -> str:
    """Return content as JSON: numpy scalars and arrays as plain values, null for numbers that JSON does not have, text for what it does not know.

    Parameters
    ----------
    content : object
        Dictionaries, sequences, numbers, texts, arrays.
    indent : int, optional
        As of `json.dumps`.

    Examples
    --------
    >>> json_text({"cc_half": float("nan"), "n": 3})
    '{"cc_half": null, "n": 3}'
    """
    return json.dumps(_plain(content), indent=indent, allow_nan=False)


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, set | frozenset):
        value = sorted(value, key=str)
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return str(value)
