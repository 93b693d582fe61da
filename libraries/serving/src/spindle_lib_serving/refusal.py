"""What a client gets instead of an answer."""

from __future__ import annotations

__all__ = ["CLOSE", "Refusal"]

#: Headers of a refusal after which the connection is of no use.
CLOSE = {"Connection": "close"}


class Refusal(Exception):
    """A request that is not, or cannot be, answered.

    Parameters
    ----------
    status : int
        HTTP status: 4xx for what the client can mend, 5xx for what it cannot.
    reason : str
        What, where, which value, what to do.
    headers : dict, optional
        Further headers of the response.
    """

    def __init__(self, status: int, reason: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.headers = headers or {}
