"""What the spot-finding server does not do: requests that are wrong, or that want too much."""

from __future__ import annotations

import json
import random
import re

import pytest

BAD_ADDRESSES = [
    ("/etc/passwd", 403, "outside of the folders"),
    ("{data}/../secret.cbf", 403, "outside of the folders"),
    ("{data}/%2e%2e/secret.cbf", 403, "outside of the folders"),
    ("{data}/link.cbf", 403, "outside of the folders"),
    ("/gone/and/lost.cbf", 403, "outside of the folders"),
    ("{data}/gone.cbf", 404, "No such file"),
    ("{data}/x_0001.cbf/more", 404, "Not a directory"),
    ("{data}", 400, "is a folder"),
    ("{data}/pipe.cbf", 400, "not an ordinary file"),
    ("{data}/noise.cbf", 422, "noise.cbf"),
    ("{data}/cut.cbf", 422, "cut.cbf"),
    ("{data}/x_0001.cbf:0", 404, "no such image"),
    ("{data}/x_%23a%23.cbf:1", 404, "x_#a1.cbf: No such file"),
    ("{data}/%00.cbf", 400, "not an absolute path"),
    ("{data}/%ff.cbf", 400, "not UTF-8"),
    ("{data}/x_0001.cbf;bogus=1", 400, "bogus is not a parameter"),
    ("{data}/x_0001.cbf;d_min=two", 400, "expected a number"),
    ("{data}/x_0001.cbf;d_min=-2", 400, "must be at least 0"),
    ("{data}/x_0001.cbf;min_spot_size=9;max_spot_size=3", 400, "larger than max_spot_size"),
    ("{data}/x_0001.cbf;d_min", 400, "is not name=value"),
    ("{data}/x_0001.cbf;=2", 400, "no parameter name"),
    ("{data}/x_0001.cbf;threshold.algorithm=magic", 400, "there is no threshold 'magic'"),
    ("{data}/x_0001.cbf;index=maybe", 400, "must be true or false"),
    ("{data}/x_0001.cbf;integrate=True", 400, "does not integrate"),
    ("{data}/x_0001.cbf;format=html", 400, "must be json or xml"),
    ("{data}/x_0001.cbf;image={data}/x_0002.cbf", 400, "one image at a time"),
    ("{data}/x_0001.cbf;output.reflections=a.refl", 400, "writes nothing"),
    ("{data}/x_0001.cbf;write_hot_mask=True", 400, "writes nothing"),
    ("{data}/x_0001.cbf;mp.nproc=64", 400, "decides how the work is shared"),
    ("{data}/x_0001.cbf;scan_range=1,2", 400, "about one image"),
    ("{data}/x_0001.cbf;lookup.mask=/etc/passwd", 403, "outside of the folders"),
    ("{data}/x_0001.cbf;lookup.mask=mask.npz", 400, "absolute path"),
    ("{data}/x_0001.cbf;lookup.mask={data}/noise.cbf", 422, "noise.cbf"),
    ("{data}/x_0001.cbf;indexing.method=fft1d", 400, "indexing.method is not a parameter"),
    ("/find_spots", 400, "image: missing"),
    ("/find_spots?image=x.cbf", 400, "not an absolute path"),
    ("/find_spots?image=", 400, "image"),
    ("{data}/" + 20000 * "x", 414, "longer than"),
    ("{data}/" + 5000 * "x" + ".cbf", 414, "4096"),
]


@pytest.mark.parametrize(("address", "status", "reason"), BAD_ADDRESSES, ids=lambda v: str(v)[:40])
def test_a_bad_address_is_refused_with_the_reason(server, address, status, reason):
    answer = server.get(address.replace("{data}", str(server.folder)), status)
    assert reason in answer["error"]


BAD_BODIES = [
    (b"", 400, "not JSON"),
    (b"{", 400, "not JSON"),
    (b"[1]", 400, "must be a JSON object"),
    (b"\xff\xfe{}", 400, "not UTF-8"),
    (b"[" * 100000, 400, "not JSON"),
    (b'{"image": NaN}', 400, "finite"),
    (b'{"image": "/a", "image": "/b"}', 400, "'image' is there twice"),
    (b'{"image": 3}', 400, "must be the absolute path"),
    (b'{"image": ["/a"]}', 400, "must be the absolute path"),
    (b'{"image": "/a\\u0000b"}', 400, "not an absolute path"),
    (b'{"image": "/a\\ud800b"}', 400, "half of a character"),
    (b'{"parameters": {}}', 400, "image: missing"),
    (b'{"image": "/a", "frames": 3}', 400, "frames not understood"),
    (b'{"image": "/a", "parameters": []}', 400, "must be an object"),
    (b'{"image": "/a", "parameters": {"index": true}}', 400, "beside parameters"),
    (b'{"image": "/a", "index": 7}', 400, "must be true or false"),
    (b'{"image": "/a", "parameters": {"d_min": [1, 2]}}', 400, "expected a number"),
    (b'{"image": "/a", "parameters": {"d_min": {"a": {"b": 1}}}}', 400, "is not a parameter"),
    (b'{"image": "/a", "parameters": {"d_min": ' + 500 * b"[" + 500 * b"]" + b"}}", 400, "nested too deeply"),
    (b'{"image": "/a", "parameters": {"d_min": ' + 5000 * b"9" + b"}}", 400, "not JSON"),
    (b'{"image": "/a", "parameters": {"min_spot_size": 1e999}}', 400, "finite"),
    (b'{"image": "/a", "parameters": {"d_min": "' + 300000 * b"9" + b'"}}', 413, "larger than"),
]


@pytest.mark.parametrize(("body", "status", "reason"), BAD_BODIES, ids=lambda v: str(v)[:40])
def test_a_bad_body_is_refused_with_the_reason(server, body, status, reason):
    found, _, text = server.ask("POST", "/find_spots", body, content_type="application/json")
    assert found == status, text
    assert reason in json.loads(text)["error"]


def test_other_methods_kinds_and_sites_are_refused(server):
    for method, address in (("PUT", "/find_spots"), ("DELETE", "/x.cbf"), ("POST", "/x.cbf"), ("GET", "/stop")):
        status, _, text = server.ask(method, address)
        assert status == 405 or (address == "/stop" and status == 403), text
        assert "error" in json.loads(text)
    for kind in ("text/plain", "multipart/form-data; boundary=x", ""):
        status, _, text = server.ask("POST", "/find_spots", b"{}", content_type=kind)
        assert status == 415
        assert "must be application/json" in json.loads(text)["error"]
    for method, address in (("GET", "/x.cbf"), ("POST", "/stop"), ("GET", "/Ctrl-C")):
        assert server.ask(method, address, sec_fetch_site="cross-site")[0] == 403
    assert server.ask("HEAD", "/Ctrl-C")[0] == 405


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /x HTTP/1.1\r\n\r\n", 400),  # no Host
        (b"GET /a b HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + 1000000 * b"y" + b"\r\n\r\n", 431),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),  # TLS
        (b"POST /find_spots HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
         b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST /find_spots HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{", 400),
    ],
    ids=lambda v: str(v)[:40],
)  # fmt: skip
def test_what_is_not_http_is_refused_in_json(server, data, status):
    answer = server.raw(data, half_close=True)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d" % status), answer
    assert "error" in json.loads(body)


ASKED = b"POST /find_spots HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
SECOND = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize(
    "data",
    [
        ASKED + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SECOND,
        ASKED + b"Transfer-Encoding: chunked\r\nContent-Length: 99\r\n\r\n0\r\n\r\n" + SECOND,
        ASKED + b"Content-Length: 2\r\nContent-Length: 90\r\n\r\n{}" + SECOND,
        ASKED + b"Content-Length: 2, 90\r\n\r\n{}" + SECOND,
        ASKED + b"Content-Length: +2\r\n\r\n{}" + SECOND,
        ASKED + b"Content-Length: 0x2\r\n\r\n{}" + SECOND,
        ASKED + b"Content-Length: 1_0\r\n\r\n{}" + SECOND,
        ASKED + b"Content-Length : 2\r\n\r\n{}" + SECOND,
        ASKED + b"Content-Length: 99999999999999999999\r\n\r\n{}" + SECOND,
        ASKED + b"Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n" + SECOND,
        ASKED + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SECOND,
        ASKED + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n" + SECOND,
        ASKED + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n{}" + SECOND,
        ASKED + b"Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n" + SECOND,
        ASKED + b"Host: attacker.example\r\nContent-Length: 2\r\n\r\n{}" + SECOND,
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n" + SECOND,
    ],
    ids=range(16),
)  # fmt: skip
def test_what_two_servers_would_cut_differently_is_one_refusal(server, data):
    """The lengths that smuggled requests hide behind: one answer, a refusal, and the second request is not answered."""
    answer = server.raw(data, half_close=True)
    assert re.match(rb"HTTP/1\.1 (4\d\d|501) ", answer) and answer.count(b"HTTP/1.1 ") == 1, answer


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "localhost:80"}, 200),
        ({"host": "LOCALHOST"}, 200),
        ({"host": "192.0.2.7:1701"}, 200),
        ({"host": "[::1]:1701"}, 200),
        ({"host": "attacker.example"}, 421),
        ({"host": "attacker.example:1701"}, 421),
        ({"host": "127.0.0.1.attacker.example"}, 421),
        ({"host": "localhost.attacker.example"}, 421),
        ({"host": "127.0.0.1:1", "origin": "http://127.0.0.1:1"}, 200),
        ({"origin": "http://attacker.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "https://127.0.0.1"}, 403),
    ],
)
@pytest.mark.parametrize("address", ["/health", "/", "/plugins"])
def test_only_names_of_this_machine_and_pages_of_this_server_are_answered(server, headers, status, address):
    assert server.ask("GET", address, **headers)[0] == status


def test_no_page_of_another_site_stops_the_server(server):
    for headers in ({"host": "attacker.example"}, {"origin": "http://attacker.example"}):
        assert server.ask("POST", "/stop", **headers)[0] in (403, 421)
        assert server.ask("GET", "/Ctrl-C", **headers)[0] in (403, 421)
    assert server.get("/health")["status"] == "ok"


@pytest.mark.parametrize(
    ("name", "value", "index"),
    [
        ("spotfinder.threshold.dispersion.kernel_size", [1000000, 1000000], False),
        ("background_size", 10**9, False),
        ("indexing.fft3d.reciprocal_space_grid.n_points", 100000, True),
        ("max_cell", 1e9, True),
    ],
)
def test_parameters_that_ask_for_terabytes_are_refused(server, name, value, index):
    answer = server.post({"image": str(server.folder / "x_0001.cbf"), "parameters": {name: value}, "index": index}, 400)
    assert "must be at most" in answer["error"], answer


def test_a_half_closed_connection_gets_its_answer(server):
    answer = server.raw(f"GET {server.folder}/x_0001.cbf HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(), half_close=True)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"n_spots_total" in answer


def test_random_bytes_and_requests_do_no_harm(server):
    chance = random.Random(20261121)
    whole = (
        f"POST /find_spots HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 60\r\n\r\n"
        f'{{"image": "{server.folder}/x_0001.cbf", "parameters": {{"d_min": 2}}}}'
    ).encode()
    line = f"GET {server.folder}/x_0001.cbf;d_min=2 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    for i in range(150):
        data = bytearray(whole if i % 3 == 0 else line if i % 3 == 1 else chance.randbytes(chance.randrange(1, 300)))
        for _ in range(chance.randrange(1, 6)):
            at = chance.randrange(len(data))
            data[at : at + chance.randrange(3)] = chance.randbytes(chance.randrange(3))
            data = data or bytearray(b"x")
        try:
            answer = server.raw(bytes(data[: chance.randrange(1, len(data) + 1)]), half_close=True)
        except ConnectionError:
            continue
        assert not answer or re.match(rb"HTTP/1\.1 (200|4\d\d) ", answer), (bytes(data), answer)
    assert server.get("/health")["status"] == "ok"
    assert server.get(f"{server.folder}/x_0001.cbf")["n_spots_total"] > 30
    assert not any("Traceback" in line for line in server.lines)
