"""Who may ask: no web page of another site, and nobody by a name that is not this machine's."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection

from starlette.requests import Request

from .refusal import CLOSE, Refusal

__all__ = ["is_loopback", "is_ours", "plain", "refuse_other_sites"]


def refuse_other_sites(request: Request, names: Collection[str] = ()) -> None:
    """Raise `Refusal` for what a web page of another site makes a browser ask.

    Parameters
    ----------
    request : starlette.requests.Request
    names : collection of str
        Names of this machine under which it may be asked, besides localhost and addresses in numbers.
    """
    if request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        raise Refusal(403, "requests of web pages of other sites are not answered", CLOSE)
    host = request.headers.get("host", "")
    if host and not is_ours(host, names):  # a name that was made to lead here
        raise Refusal(
            421,
            f"host {plain(host)}: not a name of this server; the server is told of others by hosts=",
            CLOSE,
        )
    origin = request.headers.get("origin")
    if origin is not None and origin.lower() != f"http://{host}".lower():
        raise Refusal(403, f"origin {plain(origin)}: web pages of other sites are not answered", CLOSE)


def is_ours(host: str, names: Collection[str]) -> bool:
    """Whether a Host header names this machine: localhost, an address in numbers, or one of some names.

    A name that is made to lead here (DNS rebinding) is none of these.
    """
    name = re.sub(r":\d*$", "", host.strip().lower()) if not host.endswith("]") else host.lower()
    name = name.rstrip(".")
    if name == "localhost" or name.endswith(".localhost") or name in names:
        return True
    try:
        ipaddress.ip_address(name[1:-1] if name.startswith("[") and name.endswith("]") else name)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether an address in numbers is this machine's own, which no other reaches."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def plain(text: str) -> str:
    """Text for a log line: what cannot be printed is escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
