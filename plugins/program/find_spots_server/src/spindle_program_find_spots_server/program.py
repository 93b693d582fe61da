"""The program `spindle find_spots_server`."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import ParameterError
from spindle.execution import Session, available_cores, plugin_files
from spindle.params import Auto, Float, Int, Params, PathParam, Str, UnrecordedParams
from spindle_lib_serving.listening import listen

if TYPE_CHECKING:
    from spindle.execution import RunContext

__all__ = ["FindSpotsServer"]


class FindSpotsServer(Program):
    """Find spots on request: a server that judges images while they are collected.

    A client names an image, the server finds its spots with the parameters of `spindle find_spots`, and answers with
    their number, their intensity and estimates of the resolution limit; it indexes them when asked to. Images are read
    below the folders of allow= only, nothing is written, and only this machine is listened to unless host= says
    otherwise.

        spindle find_spots_server nproc=8 allow=/data
        spindle find_spots_client /data/image_####.cbf min_spot_size=2 d_min=2
        curl 'http://localhost:1701/data/image_0001.cbf;d_min=2'
        spindle find_spots_client stop
    """

    class Params(UnrecordedParams):
        """Find spots on request."""

        nproc = Int(
            Auto, min=1, max=4_096, none=True, help="Worker processes; Auto and None take all cores of this machine."
        )
        port = Int(1701, min=1, max=65535, none=True, help="Port to listen on; None takes a free one and prints it.")
        host = Str("127.0.0.1", help="Address to listen on; 0.0.0.0 lets other machines ask.")
        allow = PathParam(
            None, multiple=True, help="Folder below which images may be read; may be repeated. Default: this folder."
        )
        hosts = Str(
            None,
            multiple=True,
            help="Further name of this machine under which it is asked; may be repeated. localhost, host= and addresses in "
            "numbers are known.",
        )
        memory = Float(
            8.0,
            min=0.5,
            max=100_000,
            none=True,
            units="GB",
            help="Memory that a worker may take for an image; None sets no limit, which thresholds on a GPU need.",
        )
        queue = Int(
            256, min=0, max=100_000, help="How many images may wait for a worker; more are told to come again (503)."
        )
        timeout = Float(60.0, min=0.1, units="s", help="Longest time for one image; its worker is then replaced.")

        class mp(Params, level=3):
            """Nothing: nproc says how many workers there are."""

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Params, context: RunContext) -> ProgramResult:
        """Serve until told to stop; see `spindle.contracts.program.ProgramSpec`."""
        if inputs.files or inputs.experiments or inputs.reflections:
            raise ParameterError("find_spots_server takes no files; name images to spindle find_spots_client")
        folders = _folders(params.allow)
        n_workers = _n_workers(params.nproc)
        listener = listen(
            "find_spots_server", params.host, params.port, f"spindle find_spots_client stop port={params.port}"
        )
        with listener:
            return _serve(listener, folders, n_workers, params, context)


def _folders(allow: Sequence[Path]) -> list[str]:
    folders = [os.path.realpath(f) for f in allow or [Path()]]
    for given, folder in zip(allow or [Path()], folders, strict=True):
        if not os.path.isdir(folder):
            raise ParameterError(f"allow={given}: there is no such folder")
    return folders


def _n_workers(nproc: Any) -> int:
    return available_cores() if nproc in (Auto, None) else int(nproc)


def _serve(
    listener: socket.socket, folders: list[str], n_workers: int, params: FindSpotsServer.Params, context: RunContext
) -> ProgramResult:
    import asyncio

    import uvicorn

    from spindle_lib_serving.guard import is_loopback
    from spindle_lib_serving.protocol import HttpServer, PatientProtocol

    from .app import URL_LIMIT, SpotServer
    from .pool import WorkerPool

    settings = {"allow": folders, "memory": params.memory, "plugins": [asdict(f) for f in plugin_files()]}
    pool = WorkerPool(n_workers, settings, params.queue, params.timeout)
    spots = SpotServer(pool, lambda: server.stop(), _names(params.host, params.hosts))
    config = uvicorn.Config(
        spots.app, http=PatientProtocol, ws="none", lifespan="on", log_config=None, access_log=False, server_header=False,
        h11_max_incomplete_event_size=4 * URL_LIMIT, timeout_keep_alive=30,
        timeout_graceful_shutdown=int(params.timeout) + 5,
    )  # fmt: skip
    server = HttpServer(config)
    host, port = listener.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    context.log.info("Serving on %s with %d worker%s; Ctrl-C stops", address, n_workers, "s" * (n_workers > 1))
    for folder in folders:
        context.log.info("Reading images below %s", folder)
    if not is_loopback(host):
        context.log.warning(
            "Warning: host=%s lets every machine that reaches this one ask for images and stop the server", host
        )
    _compile_indexing()
    with server.without_noise():
        asyncio.run(server.serve(sockets=[listener]))
    answers = sum(spots.n_answered.values())
    context.log.info("Stopped after %d answer%s", answers, "s" * (answers != 1))
    if server.interrupted:
        raise KeyboardInterrupt
    return ProgramResult(
        summary={"port": port, "answers": {str(k): n for k, n in sorted(spots.n_answered.items())}},
    )


def _names(host: str, others: Sequence[str]) -> list[str]:
    """Names of this machine; its own are looked up where other machines may ask."""
    from spindle_lib_serving.guard import is_loopback

    if is_loopback(host) or host == "localhost":
        return [host, *others]
    return [host, *others, socket.gethostname(), socket.getfqdn(), socket.gethostname().partition(".")[0]]


def _compile_indexing() -> None:
    """On a machine where it is not compiled yet, compile what indexing needs beside the first requests."""
    Session("index").compile_beside()
