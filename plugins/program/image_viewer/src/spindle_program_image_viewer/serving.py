"""The running viewer: address, browser, and how it ends."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import sys
import threading
import webbrowser
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import uvicorn

from spindle.contracts import ProgramResult
from spindle.errors import ParameterError, UserError
from spindle_lib_serving.protocol import HttpServer, PatientProtocol

from .desk import Desk
from .server import ViewerServer

if TYPE_CHECKING:
    from spindle.execution import RunContext

__all__ = ["serve"]


def serve(listener: socket.socket, desk: Desk, params: Any, context: RunContext) -> ProgramResult:
    """Serve the page on an address until Ctrl-C or SIGTERM."""
    token = secrets.token_urlsafe(24)
    port = listener.getsockname()[1]
    page, words = _place(desk, params)
    address = f"http://localhost:{port}/{page}#token={token}{words}"

    async def run() -> HttpServer:
        viewer = ViewerServer(desk, token, max(2, os.cpu_count() or 1))
        config = uvicorn.Config(
            viewer.app, http=PatientProtocol, ws="none", lifespan="off", log_config=None, access_log=False, server_header=False,
            timeout_keep_alive=120, timeout_graceful_shutdown=5,
        )  # fmt: skip
        server = HttpServer(config)
        with server.without_noise():
            await server.serve(sockets=[listener])
        return server

    # While the browser starts, the first image is read and the kernels that paint it are loaded.
    threading.Thread(target=_begin, args=(desk, params.imageset, max(params.image, 1)), daemon=True).start()
    context.log.info("Open %s", address)
    remote = "SSH_CONNECTION" in os.environ
    if remote:
        context.log.info(
            "From another machine: ssh -L %d:localhost:%d %s, then open the same address there",
            port,
            port,
            socket.gethostname(),
        )
    context.log.info("Ctrl-C stops")
    browser = params.browser
    wanted = browser if browser in (True, False) else not remote and _has_display()
    if wanted:
        webbrowser.open(address)
    server = asyncio.run(run())
    if server.interrupted:
        context.log.info("Stopped")
    return ProgramResult(summary={"port": port, "n_sets": len(desk.sets.sets)})


def _begin(desk: Desk, number: int, image: int) -> None:
    """Make the first view, which the page will ask for."""
    if number >= len(desk.sets.sets):
        return
    one = desk.sets.sets[number]
    index = min(max(image - one.number(0), 0), len(one.frames) - 1) if image > 1 else one.begin
    rows, columns = one.canvas.shape
    binning = max(1, -(-max(rows, columns) // 1000))
    desk.scene(number)
    with suppress(UserError):  # the page asks again, and is told
        desk.view(number, index, 0, 0, -(-columns // binning), -(-rows // binning), binning)


def _place(desk: Desk, params: Any) -> tuple[str, str]:
    """The page, and what it shows first as it follows the token; raises `ParameterError` for an image that there is not."""
    if params.first_page != "images":
        return "lattice.html", "&space=" + ("laboratory" if params.first_page == "geometry" else "reciprocal")
    sets = desk.sets.sets
    if not sets:
        return "", ""
    if params.imageset >= len(sets):
        raise ParameterError(f"imageset={params.imageset}: {len(sets)} image sets are open, counted from 0")
    one = sets[params.imageset]
    first, n = one.number(0), len(one.frames)
    number = first if params.image == 1 else params.image
    if not first <= number < first + n:
        raise ParameterError(f"image={number}: the images of set {params.imageset} are {first} to {first + n - 1}")
    return "", f"&set={params.imageset}&image={number - first + 1}" if (number, params.imageset) != (first, 0) else ""


def _has_display() -> bool:
    """Whether there is a screen; only X11 and Wayland say so in the environment."""
    return not sys.platform.startswith("linux") or any(n in os.environ for n in ("DISPLAY", "WAYLAND_DISPLAY"))
