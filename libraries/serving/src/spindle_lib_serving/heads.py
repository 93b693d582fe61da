"""Heads of requests: what is too long, of another HTTP, or understood differently by others, is refused."""

from __future__ import annotations

from typing import Any

import h11

__all__ = ["MOST_BYTES", "MOST_LINES", "MOST_TARGET", "StrictConnection"]

MOST_TARGET = 16 * 1024
"""Bytes of the address that a request line asks for."""

MOST_LINES = 100
"""Header lines of a request."""

MOST_BYTES = 64 * 1024
"""Of all header lines together."""


class StrictConnection(h11.Connection):
    """The server's end of h11's connection; what it refuses is an `h11.RemoteProtocolError` with the status of the answer."""

    def next_event(self) -> Any:
        """See `h11.Connection.next_event`."""
        try:
            event = super().next_event()
        except h11.RemoteProtocolError as error:
            if error.error_status_hint == 431 and b"\n" not in self.trailing_data[0]:
                raise _too_long_a_line() from error
            raise
        if isinstance(event, h11.Request):
            _check(event)
        return event


def _too_long_a_line() -> h11.RemoteProtocolError:
    return h11.RemoteProtocolError(
        f"the address is longer than {MOST_TARGET} bytes; send what it says by POST", error_status_hint=414
    )


def _check(request: h11.Request) -> None:
    version, headers = request.http_version.decode("ascii"), list(request.headers)
    names = {name for name, _ in headers}
    size = sum(len(name) + len(value) for name, value in headers)
    if version[0] != "1":
        raise h11.RemoteProtocolError(f"HTTP/{version} is not spoken here; ask with HTTP/1.1", error_status_hint=505)
    if len(request.target) > MOST_TARGET:
        raise _too_long_a_line()
    if len(headers) > MOST_LINES or size > MOST_BYTES:
        raise h11.RemoteProtocolError(
            f"{len(headers)} header lines of {size} bytes; {MOST_LINES} of {MOST_BYTES} are the most",
            error_status_hint=431,
        )
    if {b"content-length", b"transfer-encoding"} <= names:  # RFC 9112, 6.1: what follows may be a part of it
        raise h11.RemoteProtocolError("Content-Length and Transfer-Encoding in one request", error_status_hint=400)
