"""The address that a server listens on."""

from __future__ import annotations

import socket

from spindle.errors import UserError

__all__ = ["listen"]


def listen(program: str, host: str, port: int | None, stop: str = "") -> socket.socket:
    """Bind an address.

    Parameters
    ----------
    program : str
        Who wants it, for messages.
    host : str
    port : int or None
        None takes a free one.
    stop : str
        Command that stops another server there.

    Raises
    ------
    spindle.errors.UserError
        When the address cannot be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port or 0, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise UserError(f"{program}: host={host}: no such address ({error})") from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(512)
    except OSError as error:
        listener.close()
        raise UserError(
            f"{program}: cannot listen on port={port} of host={host}: {error.strerror}. Next: stop the other "
            f"server{f' ({stop})' if stop else ''} or choose another port=; port=None takes a free one"
        ) from error
    return listener
