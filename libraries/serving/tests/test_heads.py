"""Heads of requests over a socket: each wrong one has the answer that RFC 9110, RFC 9112 and RFC 6585 name, and no other."""

from __future__ import annotations

import json
import socket
import threading

import pytest
import uvicorn

from spindle_lib_serving.listening import listen
from spindle_lib_serving.protocol import HttpServer, PatientProtocol

HOST = b"Host: localhost\r\n"
SECOND = b"GET /second HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


async def app(scope, receive, send):
    """Answers everything with its path."""
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-length", b"%d" % len(scope["path"]))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


@pytest.fixture(scope="module")
def port():
    server = HttpServer(uvicorn.Config(app, http=PatientProtocol, ws="none", lifespan="off", log_config=None))
    with listen("test", "127.0.0.1", None) as listener:
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join(10)


def answer(port, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        found = b""
        while part := connection.recv(65536):
            found += part
        return found


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/9.9\r\n" + HOST, 505),
        (b"GET / HTTP/2.0\r\n" + HOST, 505),
        (b"GET / HTTP/0.9\r\n" + HOST, 505),
        (b"GET / HTTP/1.x\r\n" + HOST, 400),
        (b"GET / HTTP/1.1\r\n" + HOST + b"a: b\r\n" * 5000, 431),
        (b"GET / HTTP/1.1\r\n" + HOST + b"a: b\r\n" * 100, 431),
        (b"GET / HTTP/1.1\r\n" + HOST + b"a: " + b"b" * 70_000 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + HOST + b"a: " + b"b" * 1_000_000, 431),
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n" + HOST, 414),
        (b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\n" + HOST, 414),
        (b"GET /" + b"x" * 1_000_000, 414),
        (b"GET / HTTP/1.1\r\n" + HOST + b"no colon\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HOST + b": no name\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HOST + b"name : blank\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HOST + b"a: \0\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HOST + HOST, 400),
        (b"GET / HTTP/1.1\r\n", 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", 400),
        (b"POST / HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n", 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip\r\n", 501),
    ],
    ids=lambda v: str(v)[:60],
)  # fmt: skip
def test_each_wrong_head_has_its_own_refusal(port, head, status):
    found = answer(port, head + b"\r\n" + SECOND)
    first, _, body = found.partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 %d " % status) and found.count(b"HTTP/1.1 ") == 1, found[:500]
    assert "error" in json.loads(body)


@pytest.mark.parametrize(
    "head",
    [
        b"GET /first HTTP/1.1\r\n" + HOST + b"a: b\r\n" * 99,
        b"GET /first HTTP/1.1\r\n" + HOST + b"a: " + b"b" * 60_000 + b"\r\n",
        b"GET /first?" + b"x" * 16_000 + b" HTTP/1.1\r\n" + HOST,
        b"POST /first HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n",
        b"POST /first HTTP/1.2\r\n" + HOST + b"Content-Length: 2\r\n",
    ],
    ids=lambda v: str(v)[:40],
)
def test_what_is_within_the_limits_is_answered_and_so_is_the_next(port, head):
    body = b"ab" if b"Content-Length" in head else b""
    found = answer(port, head + b"\r\n" + body + SECOND)
    assert found.count(b"HTTP/1.1 200") == 2 and b"/first" in found and found.endswith(b"/second")
