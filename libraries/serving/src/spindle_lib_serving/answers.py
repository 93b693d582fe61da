"""Answers as JSON, and the bodies of requests."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any

from starlette.requests import ClientDisconnect, Request

from spindle.files import json_content

from .refusal import CLOSE, Refusal

__all__ = ["BODY_LIMIT", "body_of", "object_of", "to_json"]

BODY_LIMIT = 256 * 1024
_PATIENCE_LIMIT = 32 * BODY_LIMIT
_BODY_SECONDS = 15.0


def to_json(content: dict[str, Any]) -> bytes:
    """JSON text in UTF-8; numbers that JSON does not have become null."""
    return json.dumps(_finite(content), allow_nan=False).encode("utf-8", "backslashreplace")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return value


def object_of(body: bytes, example: str = "") -> dict[str, Any]:
    """The JSON object that a body is, in which no name is twice and all numbers are finite; an empty body is none.

    Parameters
    ----------
    body : bytes
    example : str
        Of such an object, for the message.

    Raises
    ------
    Refusal
    """
    try:
        content = json_content(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise Refusal(400, f"body: not UTF-8 (byte {error.start})") from error
    except ValueError as error:
        raise Refusal(400, f"body: not JSON: {error}") from error
    if not isinstance(content, dict):
        raise Refusal(400, f"body: must be a JSON object{', ' if example else ''}{example}")
    if not _is_finite(content):
        raise Refusal(400, "body: numbers must be finite, as JSON's are")
    return content


def _is_finite(value: Any) -> bool:
    """Whether all numbers within are finite; Python reads NaN and 1e999, which JSON does not have."""
    values = [value]
    while values:
        value = values.pop()
        if isinstance(value, float) and not math.isfinite(value):
            return False
        if isinstance(value, dict | list):
            values += value.values() if isinstance(value, dict) else value
    return True


async def body_of(request: Request) -> bytes:
    """The body of a request; raises `Refusal` when it is too large, too slow or cut short."""
    parts, size = [], 0
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for part in request.stream():
                size += len(part)
                if size <= BODY_LIMIT:
                    parts.append(part)
                elif size > _PATIENCE_LIMIT:  # a little more is read and dropped, so that the client sees the answer
                    break
    except TimeoutError:
        raise Refusal(408, f"body: not complete after {_BODY_SECONDS:g} s", CLOSE) from None
    except ClientDisconnect:
        raise Refusal(400, "body: the connection was closed before its end") from None
    if size > BODY_LIMIT:
        raise Refusal(413, f"body: larger than {BODY_LIMIT} bytes", CLOSE)
    return b"".join(parts)
