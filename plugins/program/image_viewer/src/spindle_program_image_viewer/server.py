"""The addresses of the viewer and what they answer."""

from __future__ import annotations

import asyncio
import hmac
import inspect
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from spindle.errors import UserError, is_out_of_memory
from spindle_lib_reciprocal_view.page import body_of_page, part_of_page
from spindle_lib_serving.answers import body_of, object_of, to_json
from spindle_lib_serving.guard import refuse_other_sites
from spindle_lib_serving.refusal import Refusal

from .desk import Desk
from .views import packed

__all__ = ["ViewerServer"]

log = logging.getLogger("spindle.image_viewer")

PACKAGE = "spindle_program_image_viewer"
_KINDS = {"html": "text/html", "js": "text/javascript", "css": "text/css"}
# Nothing is loaded from elsewhere, and nobody may put the page into a frame.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; img-src 'self' data: blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SAFE = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

_Endpoint = Callable[[Request], Awaitable[Response]]


class ViewerServer:
    """The web application.

    Parameters
    ----------
    desk : Desk
        What is open, and all questions about it.
    token : str
        What every question must bring with it.
    n_workers : int
        How many images are worked on at once.

    Attributes
    ----------
    app : Starlette
    """

    def __init__(self, desk: Desk, token: str, n_workers: int = 2) -> None:
        self.desk, self.token = desk, token
        self._free = asyncio.Semaphore(n_workers)
        # As many threads as work at once: each holds on to memory of the size of an image.
        self._workers = ThreadPoolExecutor(n_workers, "viewer")
        ask = {name: self._asked(getattr(desk, name)) for name in desk.QUESTIONS}
        self.app = Starlette(
            routes=[
                Route("/", self._page),
                Route("/lattice.html", self._lattice_page),
                Route("/lattice/{name}", self._lattice_part),
                Route("/{name}.{kind}", self._page),
                *(Route(f"/api/{name}", self._guarded(function), methods=["POST"]) for name, function in ask.items()),
            ],
            exception_handlers={Refusal: _refused, HTTPException: _http_error, Exception: _bug},
        )

    async def _page(self, request: Request) -> Response:
        """The page and its parts; they hold nothing that is secret."""
        refuse_other_hosts(request)
        name = request.path_params.get("name", "index")
        kind = request.path_params.get("kind", "html")
        path = files(PACKAGE) / "page" / f"{name}.{kind}"
        if kind not in _KINDS or not name.replace("_", "").isalnum() or not path.is_file():
            raise HTTPException(404)
        return Response(path.read_bytes(), headers=_SAFE, media_type=f"{_KINDS[kind]}; charset=utf-8")

    async def _lattice_page(self, request: Request) -> Response:
        """The page of reciprocal space; its points come with the token."""
        refuse_other_hosts(request)
        text = (
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Reciprocal lattice</title><link rel="icon" href="data:,">'
            '<link rel="stylesheet" href="lattice/style.css"></head><body>'
            f'{body_of_page("Reciprocal lattice")}<script type="module" src="lattice_start.js"></script></body></html>'
        )
        return Response(text, headers=_SAFE, media_type="text/html; charset=utf-8")

    async def _lattice_part(self, request: Request) -> Response:
        refuse_other_hosts(request)
        name = request.path_params["name"]
        content = part_of_page(name)
        if content is None:
            raise HTTPException(404)
        return Response(content, headers=_SAFE, media_type=f"{_KINDS[name.rpartition('.')[2]]}; charset=utf-8")

    def _guarded(self, endpoint: _Endpoint) -> _Endpoint:
        async def guarded(request: Request) -> Response:
            refuse_other_sites(request)
            given = request.headers.get("authorization", "").removeprefix("Bearer ")
            if not hmac.compare_digest(given.encode(), self.token.encode()):
                raise Refusal(
                    401, "the token is missing or wrong; open the address that spindle image_viewer has printed"
                )
            return await endpoint(request)

        return guarded

    def _asked(self, function: Callable[..., Any]) -> _Endpoint:
        async def answer(request: Request) -> Response:
            words = object_of(await body_of(request) or b"{}")
            async with self._free:
                if await request.is_disconnected():  # the user is elsewhere already
                    return Response(status_code=204)
                loop = asyncio.get_running_loop()
                body, kind, is_packed = await loop.run_in_executor(self._workers, _answer, function, words)
            headers = {**_SAFE, "Content-Encoding": "deflate"} if is_packed else _SAFE
            return Response(body, headers=headers, media_type=kind)

        return answer


_KINDS_OF_WORDS: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "str": (str,),
    "bool": (bool,),
    "float": (int, float),
    "list": (list,),
    "dict": (dict,),
    "None": (type(None),),
}


def _check_words(function: Callable[..., Any], words: dict[str, Any]) -> None:
    """Refuse words that a question does not know, or of another kind than its annotations say."""
    parameters = inspect.signature(function).parameters
    unknown = [name for name in words if name not in parameters]
    missing = [n for n, p in parameters.items() if p.default is p.empty and n not in words]
    if unknown or missing:
        raise Refusal(400, f"{', '.join(unknown or missing)}: {'not understood' if unknown else 'missing'}")
    for name, value in words.items():
        kinds = [k.strip().partition("[")[0] for k in str(parameters[name].annotation).split("|")]
        allowed = tuple(t for k in kinds for t in _KINDS_OF_WORDS[k])
        if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
            raise Refusal(400, f"{name}={str(value)[:80]}: {' or '.join(kinds)} expected")
        inner = str(parameters[name].annotation).partition("[")[2].partition("]")[0].partition("[")[0]
        if isinstance(value, list) and not _all_of(value, _KINDS_OF_WORDS.get(inner)):
            raise Refusal(400, f"{name}: a list of other values expected")


def _all_of(values: list[Any], kinds: tuple[type, ...] | None) -> bool:
    return kinds is None or all(isinstance(v, kinds) and not isinstance(v, bool) for v in values)


def _answer(function: Callable[..., Any], words: dict[str, Any]) -> tuple[bytes, str, bool]:
    """The body of the answer to a question, its type, and whether it is deflated."""
    try:
        found = _called(function, words)
        if isinstance(found, bytes):
            return packed(found), "application/octet-stream", True
        text = to_json(found)
        is_long = len(text) > 1000
        return packed(text) if is_long else text, "application/json", is_long
    except Exception as error:
        if is_out_of_memory(error):
            raise _no_memory() from error
        raise


def _called(function: Callable[..., Any], words: dict[str, Any]) -> Any:
    _check_words(function, words)
    try:
        return function(**words)
    except UserError as error:
        raise Refusal(422, str(error)) from error


def _no_memory() -> Refusal:
    return Refusal(422, "there is not enough memory for this")


def refuse_other_hosts(request: Request) -> None:
    """Refuse who reached us by a name that is not ours; a link on another page may lead here."""
    from spindle_lib_serving.guard import is_ours

    host = request.headers.get("host", "")
    if host and not is_ours(host, ()):
        raise Refusal(421, "this is not a name of this server; use localhost")


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return Response(to_json({"error": error.reason}), error.status, {**_SAFE, **error.headers}, "application/json")


async def _http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return Response(to_json({"error": str(error)}), status, _SAFE, "application/json")


async def _bug(request: Request, error: Exception) -> Response:
    if is_out_of_memory(error):  # no thread for the question, for example
        return await _refused(request, _no_memory())
    log.error("%s", error, exc_info=error)
    text = f"{type(error).__name__}: {error}. This is a bug of the viewer; its window has the details"
    return Response(to_json({"error": text}), 500, _SAFE, "application/json")
