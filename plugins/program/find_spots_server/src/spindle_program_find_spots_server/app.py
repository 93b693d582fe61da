"""The addresses of the server and what they answer."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import spindle
from spindle.params import Plugin
from spindle.report import EVENT
from spindle_lib_serving.answers import BODY_LIMIT, body_of, to_json
from spindle_lib_serving.guard import plain, refuse_other_sites
from spindle_lib_serving.refusal import Refusal

from .answer import to_xml
from .pool import WorkerPool
from .request import Question, from_json, from_path, from_query, wants_xml

__all__ = ["BODY_LIMIT", "URL_LIMIT", "SpotServer"]

log = logging.getLogger("spindle.find_spots_server")

URL_LIMIT = 16 * 1024

_Endpoint = Callable[[Request], Awaitable[Response]]

_ADDRESSES = {
    "GET /path/of/image.cbf;name=value;name=value": "analyse one image",
    "POST /find_spots": 'analyse one image: {"image": "/path/of/image.cbf", "parameters": {}, "index": false}',
    "GET /find_spots?image=/path/of/image.cbf&name=value": "analyse one image",
    "GET /health": "state of the workers and the queue",
    "GET /plugins": "thresholds and image formats that are installed",
    "POST /stop": "finish what was asked, then end",
}


class SpotServer:
    """The web application.

    Parameters
    ----------
    pool : WorkerPool
    stop : callable
        Makes the server end once the running requests are answered.
    hosts : iterable of str
        Names of this machine under which it may be asked, besides localhost and addresses in numbers.

    Attributes
    ----------
    app : Starlette
    n_answered : dict of int
        Number of answers by HTTP status.
    """

    def __init__(self, pool: WorkerPool, stop: Callable[[], None], hosts: Iterable[str] = ()) -> None:
        self.pool = pool
        self.stop = stop
        self.hosts = frozenset(h.lower().rstrip(".") for h in hosts)
        self.started = time.monotonic()
        self.n_answered: dict[int, int] = {}
        self.app = Starlette(
            routes=[
                Route("/", self._guarded(self._overview)),
                Route("/health", self._guarded(self._health)),
                Route("/plugins", self._guarded(self._plugins)),
                Route("/stop", self._guarded(self._stop), methods=["POST"]),
                Route("/Ctrl-C", self._guarded(self._stop)),
                Route("/find_spots", self._guarded(self._post), methods=["POST"]),
                Route("/find_spots", self._guarded(self._query)),
                Route("/{path:path}", self._guarded(self._path)),
            ],
            lifespan=self._lifespan,
            exception_handlers={Refusal: self._refused, HTTPException: self._http_error, Exception: self._bug},
        )

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        self.pool.start()
        yield
        await self.pool.stop()

    # -- addresses
    # --------------------------------------------------------------------------------------------------------

    async def _overview(self, request: Request) -> Response:
        return self._reply(
            request, 200, {"server": f"spindle find_spots_server {spindle.__version__}", "requests": _ADDRESSES}
        )

    async def _health(self, request: Request) -> Response:
        pool = self.pool
        content = {
            "status": "ok" if pool.ready else "failing" if pool.failure else "starting",
            "version": spindle.__version__,
            "workers": pool.n_workers,
            "workers_ready": len(pool.ready),
            "workers_busy": len(pool.busy),
            "workers_lost": pool.n_lost,
            "worker_processes": sorted(p.pid for p in pool.processes.values()),
            "waiting": pool.n_waiting,
            "queue": pool.queue_limit,
            "answers": {str(status): n for status, n in sorted(self.n_answered.items())},
            "allow": pool.settings["allow"],
            "seconds_up": round(time.monotonic() - self.started, 3),
        }
        if pool.failure:
            content["error"] = pool.failure
        return self._reply(request, 200, content)

    async def _plugins(self, request: Request) -> Response:
        names = {slot: sorted(Plugin(slot).choices()) for slot in ("threshold", "format")}
        return self._reply(request, 200, names)

    async def _stop(self, request: Request) -> Response:
        if request.method == "HEAD":
            raise HTTPException(405)
        log.info("Asked to stop by %s", _client(request))
        self.stop()
        return self._reply(request, 200, {"stopping": True, "waiting": self.pool.n_waiting + len(self.pool.busy)})

    async def _path(self, request: Request) -> Response:
        return await self._analyse(request, lambda: from_path(request.scope["raw_path"], request.scope["query_string"]))

    async def _query(self, request: Request) -> Response:
        return await self._analyse(request, lambda: from_query(request.scope["query_string"]))

    async def _post(self, request: Request) -> Response:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Refusal(415, f"content-type {kind or '(none)'}: must be application/json")
        body = await body_of(request)
        return await self._analyse(request, lambda: from_json(body))

    # -- answers
    # ----------------------------------------------------------------------------------------------------------

    async def _analyse(self, request: Request, read: Callable[[], Question]) -> Response:
        start = time.perf_counter()
        style, image = "", ""
        headers: dict[str, str] = {}
        try:
            if len(request.scope["raw_path"]) + len(request.scope["query_string"]) > URL_LIMIT:
                raise Refusal(414, f"the address is longer than {URL_LIMIT} bytes; send the parameters by POST")
            question = read()
            style, image = question.style, question.image
            status, content = await self.pool.ask(question.to_dict(), request.is_disconnected)
        except Refusal as refusal:
            status, content, headers = refusal.status, {"error": refusal.reason}, refusal.headers
            if image:
                content = {"image": image, **content}
        seconds = time.perf_counter() - start
        what = content.get("error", f"{content.get('n_spots_total')} spots")
        log.info(
            "%s  %d  %.3f s  %s: %s", _client(request), status, seconds, plain(image) or "-", plain(what), extra=EVENT
        )
        return self._reply(request, status, content, style, headers)

    def _reply(
        self,
        request: Request,
        status: int,
        content: dict[str, Any],
        style: str = "",
        headers: dict[str, str] | None = None,
    ) -> Response:
        self.n_answered[status] = self.n_answered.get(status, 0) + 1
        if wants_xml(request.headers.get("accept", ""), style):
            return Response(to_xml(content), status, headers, "application/xml")
        return Response(to_json(content), status, headers, "application/json")

    def _guarded(self, endpoint: _Endpoint) -> _Endpoint:
        """An endpoint that does not do what a web page of another site makes a browser ask."""

        async def guarded(request: Request) -> Response:
            refuse_other_sites(request, self.hosts)
            return await endpoint(request)

        return guarded

    async def _refused(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, Refusal)
        log.info("%s  %d  %s", _client(request), error.status, plain(error.reason), extra=EVENT)
        return self._reply(request, error.status, {"error": error.reason}, headers=error.headers)

    async def _http_error(self, request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        reason = {405: f"method {plain(request.method)}: not for this address; GET / lists what is understood"}
        headers = dict(getattr(error, "headers", None) or {})
        return self._reply(request, status, {"error": reason.get(status, str(error))}, headers=headers)

    async def _bug(self, request: Request, error: Exception) -> Response:
        return self._reply(request, 500, {"error": f"{type(error).__name__}: {error}. This is a bug of the server"})


def _client(request: Request) -> str:
    return f"{request.client.host}:{request.client.port}" if request.client else "-"
