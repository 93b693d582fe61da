"""HTTP as our servers speak it: uvicorn's, but every refusal is JSON, idle clients are left, and half-closed ones get their answer."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from .answers import to_json
from .heads import MOST_BYTES, StrictConnection

__all__ = ["HttpServer", "PatientProtocol"]

REQUEST_SECONDS = 15.0
"""How long a client may take to send the head of a request."""

LINGER_SECONDS = 2.0
MAX_CONNECTIONS = 512


class PatientProtocol(H11Protocol):
    """One connection."""

    _patience: asyncio.TimerHandle | None = None
    _is_refused = False

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.conn = StrictConnection(h11.SERVER, MOST_BYTES)

    def connection_made(self, transport: Any) -> None:
        """Greet a client."""
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            self._refuse(503, f"{MAX_CONNECTIONS} connections are open already; try again later")
            return
        self._patience = self.loop.call_later(REQUEST_SECONDS, self._lose_patience)

    def data_received(self, data: bytes) -> None:
        """Take bytes."""
        if self._is_refused:
            return
        try:
            super().data_received(data)
        except h11.LocalProtocolError:  # an error in what follows a request that is answered already
            self.transport.close()
        if self._is_refused:
            return
        has_request = self.cycle is not None and not self.cycle.response_complete
        if has_request and self._patience is not None:
            self._patience.cancel()
            self._patience = None
        elif not has_request and self._patience is None:
            self._patience = self.loop.call_later(REQUEST_SECONDS, self._lose_patience)

    def eof_received(self) -> Any:
        """Keep the way back open for a client that has said everything and waits for its answer."""
        if self._is_refused:
            return None
        is_waiting = self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body
        if is_waiting:
            self.cycle.keep_alive = False
            return True
        if self.conn.their_state is h11.SEND_BODY or (self.cycle is None and self.conn.trailing_data[0]):
            self._refuse(400, "the request ends before it is complete")
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client."""
        if self._patience is not None:
            self._patience.cancel()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP."""
        error = sys.exc_info()[1]
        status = getattr(error, "error_status_hint", 400) or 400
        self._refuse(status, f"not a valid HTTP request: {error or msg}")

    def _lose_patience(self) -> None:
        self._patience = None
        if self.cycle is None or self.cycle.response_complete:
            self._refuse(408, f"no complete request within {REQUEST_SECONDS:g} s")

    def _refuse(self, status: int, reason: str) -> None:
        """Send a last answer; hang up once the client has had time to read it."""
        if self.transport.is_closing() or self._is_refused:
            return
        self._is_refused = True
        body = to_json({"error": reason})
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        try:
            for event in (
                h11.Response(status_code=status, headers=headers, reason=STATUS_PHRASES[status]),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        except h11.LocalProtocolError:  # another answer is on its way already
            self.transport.close()
            return
        # Closing at once would reset the connection where bytes of the client are still unread, and lose the answer.
        self.transport.write_eof()
        if self._patience is not None:
            self._patience.cancel()
        self._patience = self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def shutdown(self) -> None:
        """Let an idle client go because the server stops."""
        try:
            super().shutdown()
        except h11.LocalProtocolError:
            self.transport.close()


class HttpServer(uvicorn.Server):
    """uvicorn's server, which leaves it to its caller what a signal means for the exit code.

    Attributes
    ----------
    interrupted : bool
        It was stopped by Ctrl-C.
    """

    interrupted = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop gracefully at the first signal, at once at the second interrupt."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True
        self.interrupted |= sig == signal.SIGINT

    def stop(self) -> None:
        """Answer what was asked, then end; nobody new is let in from now on."""
        self.should_exit = True
        for server in self.servers:
            server.close()

    @contextlib.contextmanager
    def without_noise(self) -> Iterator[None]:
        """Within, uvicorn's own log stays silent."""
        import logging

        uvicorn_log = logging.getLogger("uvicorn")
        level = uvicorn_log.level
        uvicorn_log.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            uvicorn_log.setLevel(level)
