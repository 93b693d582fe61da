"""Talking to a server."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from spindle.errors import UserError

__all__ = ["Connection", "NoServer"]

# Waiting for an answer: indexing a bad image takes long, and the server has a limit of its own.
_SOCKET_SECONDS = 600.0


class NoServer(UserError):
    """Nobody answers."""


class Connection:
    """One connection, kept open from request to request; to be used by one thread.

    Parameters
    ----------
    host : str
    port : int
    patience : float, s
        How long to come again while the server is busy.
    check : callable
        Called between attempts; raises to give up.
    """

    def __init__(self, host: str, port: int, patience: float, check: Callable[[], None] = lambda: None) -> None:
        self.host, self.port, self.patience, self.check = host, port, patience, check
        self._http = http.client.HTTPConnection(host, port, timeout=_SOCKET_SECONDS)

    def analyse(
        self, image: str, parameters: list[tuple[str, str]], accept: str = "application/json"
    ) -> tuple[int, str]:
        """Ask about one image in the way that both this server and that of DIALS understand.

        Returns
        -------
        status : int
            HTTP status.
        text : str
            The answer.

        Raises
        ------
        NoServer
        """
        words = [quote(image, safe="/:")] + [f"{quote(k, safe='.')}={quote(v, safe=',.:/+')}" for k, v in parameters]
        deadline = time.monotonic() + self.patience
        while True:
            status, text, wait = self._ask("GET", ";".join(words), accept)
            if status != 503 or time.monotonic() + wait > deadline:
                return status, text
            self._sleep(wait)

    def stop(self) -> None:
        """Stop the server, with the request that that of DIALS understands too."""
        self._ask("GET", "/Ctrl-C", "application/json")

    def _sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.check()
            time.sleep(min(left, 0.2))

    def _ask(self, method: str, address: str, accept: str) -> tuple[int, str, float]:
        """Status, text and how long to wait before coming again."""
        for attempt in range(3):
            try:
                self._http.request(method, address, headers={"Accept": accept})
                response = self._http.getresponse()
                text = response.read().decode("utf-8", "replace")
            except (http.client.HTTPException, ConnectionResetError, BrokenPipeError) as error:
                # A server may close a connection that was idle at the moment when we use it again.
                self._http.close()
                if attempt == 2:
                    raise self._nobody(error) from error
            except OSError as error:
                self._http.close()
                raise self._nobody(error) from error
            else:
                return response.status, text, _seconds(response.getheader("Retry-After"))
        raise AssertionError

    def _nobody(self, error: Exception) -> NoServer:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return NoServer(
            f"find_spots_client: no server answers at port={self.port} of host={self.host} ({why}). Next: spindle "
            f"find_spots_server port={self.port}, or give host= and port= of a running one"
        )


def _seconds(text: str | None) -> float:
    return min(max(float(text), 0.2), 10.0) if text and text.isdigit() else 1.0


def parsed(text: str) -> dict[str, Any]:
    """The answer as a dictionary; text that is not a JSON object becomes its ``error``."""
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    return content if isinstance(content, dict) else {"error": f"the server answered {text[:200]!r}"}
