"""The spot-finding server, as a process of its own, and its client."""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import spindle
from spindle_lib_readers.testing.mini_cbf import mini_cbf_header, write_mini_cbf
from spindle_lib_readers.testing.nexus import write_nxmx
from spindle_lib_spots.image_quality import analyse_images

N_IMAGES = 4


def spotty(seed: int, size: int = 121) -> np.ndarray:
    """Pixels (size, size) of an image with some fifty spots."""
    rng = np.random.default_rng(seed)
    pixels = rng.poisson(1.0, (size, size)).astype(np.int32)
    y, x = np.mgrid[:size, :size]
    for cy, cx in rng.uniform(8, size - 8, (60, 2)):
        pixels += rng.poisson(80 * rng.uniform(0.3, 2) * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 2)).astype(np.int32)
    return pixels


class Server:
    """A running server; ``folder`` is what it may read."""

    is_interrupted = False

    def __init__(self, folder: Path, *words: str, environment: dict[str, str] | None = None) -> None:
        self.folder = folder
        command = [
            sys.executable,
            "-m",
            "spindle.cli.main",
            "find_spots_server",
            "port=None",
            f"allow={folder}",
            *words,
        ]
        self.process = subprocess.Popen(
            command, cwd=folder.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment,
        )  # fmt: skip
        weakref.finalize(self, self.process.kill)  # of a test that fails before it has ended the server
        self.lines: list[str] = []
        for line in self.process.stdout:
            self.lines.append(line)
            if found := re.match(r"Serving on http://127\.0\.0\.1:(\d+) ", line):
                self.port = int(found[1])
                break
        else:
            raise AssertionError("".join(self.lines))
        self.reader = threading.Thread(target=lambda: self.lines.extend(self.process.stdout), daemon=True)
        self.reader.start()

    def ask(self, method: str, address: str, body: bytes | str | None = None, **headers: str):
        """Status, headers and text of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, address, body, {k.replace("_", "-"): v for k, v in headers.items()})
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response.status, response.headers, text

    def get(self, address: str, status: int = 200) -> dict:
        """The JSON answer to GET."""
        found, _, text = self.ask("GET", address)
        assert found == status, text
        return json.loads(text)

    def post(self, content: object, status: int = 200) -> dict:
        """The JSON answer to POST /find_spots."""
        found, _, text = self.ask("POST", "/find_spots", json.dumps(content), content_type="application/json")
        assert found == status, text
        return json.loads(text)

    def raw(self, data: bytes, half_close: bool = False) -> bytes:
        """What the server sends back to some bytes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(data)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            answer = b""
            while part := connection.recv(65536):
                answer += part
            return answer

    def end(self) -> int:
        """Wait for the end, which SIGTERM brings about unless Ctrl-C has already; return the exit code."""
        if not self.is_interrupted:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        self.reader.join(10)
        self.process.stdout.close()
        return code


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served") / "data"
    folder.mkdir()
    header = mini_cbf_header(Beam_xy="(60.5, 60.5) pixels", Detector_distance="0.03 m")
    for i in range(N_IMAGES):
        write_mini_cbf(folder / f"x_{i + 1:04d}.cbf", spotty(i), header)
    write_nxmx(folder / "series.nxs", np.stack([spotty(10 + i).astype(np.uint16) for i in range(3)]))
    (folder / "cut.cbf").write_bytes((folder / "x_0001.cbf").read_bytes()[:3000])
    (folder / "noise.cbf").write_bytes(bytes(range(256)) * 20)
    (folder / "ünï .cbf").write_bytes((folder / "x_0001.cbf").read_bytes())
    (folder.parent / "secret.cbf").write_bytes((folder / "x_0001.cbf").read_bytes())
    (folder / "link.cbf").symlink_to(folder.parent / "secret.cbf")
    (folder / "inside.cbf").symlink_to(folder / "x_0002.cbf")
    os.mkfifo(folder / "pipe.cbf")
    for name in ("json", "logging", "numpy", "asyncio"):  # beside the images: never to be run
        (folder.parent / f"{name}.py").write_text(f"open({str(folder.parent / 'ran')!r}, 'w').close()")
    running = Server(folder, "nproc=1", "timeout=300", "queue=16")
    yield running
    code = running.end()
    assert code == 0, "".join(running.lines)
    assert "Stopped after" in running.lines[-1]
    left = {p.name for p in folder.parent.iterdir()} | {p.suffix for p in folder.iterdir()}
    modules = {"json.py", "logging.py", "numpy.py", "asyncio.py"}
    assert left == {"data", "secret.cbf", ".cbf", ".nxs", *modules}  # nothing was written, none of the modules was run


def expected(path: Path, number: int | None = None, **params) -> dict:
    """What `spindle find_spots` and the analysis of its spots say of one image."""
    if number is not None:
        params["spotfinder.scan_range"] = [(number, number)]
    result = spindle.run("find_spots", files=[path], **params)
    ((_, analysis),) = analyse_images(result.experiments, result.reflections)
    return analysis.of_image((number or 1) - 1)


def same(answer: dict, truth: dict) -> bool:
    return {k: answer[k] for k in truth} == truth


# -- answers


def test_answers_are_those_of_find_spots(server):
    for i in range(N_IMAGES):
        path = server.folder / f"x_{i + 1:04d}.cbf"
        truth = expected(path)
        assert truth["n_spots_total"] > 30
        answer = server.get(str(path))
        assert answer["image"] == str(path)
        assert same(answer, truth)
        assert set(answer["timings"]) == {"find_spots", "analysis", "total"}


def test_all_ways_to_ask_agree(server):
    path = server.folder / "x_0001.cbf"
    truth = expected(path, **{"min_spot_size": 5, "spotfinder.filter.d_min": 2.0, "threshold.algorithm": "dispersion"})
    assert truth["n_spots_total"] != expected(path)["n_spots_total"]
    words = ["min_spot_size=5", "d_min=2", "threshold.algorithm=dispersion"]
    answers = [
        server.get(f"{path};{';'.join(words)}"),
        server.get(f"{path}?{'&'.join(words)}"),
        server.get(f"{path};{words[0]}?{'&'.join(words[1:])}"),
        server.get(f"/find_spots?image={path}&{'&'.join(words)}"),
        server.post({"image": str(path), "parameters": {
            "min_spot_size": 5, "spotfinder": {"filter": {"d_min": 2.0}}, "threshold.algorithm": "dispersion"}}),
        server.get(f"{server.folder}/x_%23%23%23%23.cbf:1;{';'.join(words)}"),
    ]  # fmt: skip
    assert all(same(a, truth) for a in answers)


def test_an_image_of_a_series_is_chosen_by_its_number(server):
    path = server.folder / "series.nxs"
    for _ in range(2):  # the second time the file is open already
        for number in (3, 1, 2):
            truth = expected(path, number)
            assert truth["n_spots_total"] > 30
            assert same(server.get(f"{path}:{number}"), truth)
            assert same(server.get(f"{path}%23{number}"), truth)
    assert "holds 3 images; say which one" in server.get(str(path), 400)["error"]
    assert "no such image; the file has 1 to 3" in server.get(f"{path}:4", 404)["error"]
    assert "no such image" in server.get(f"{server.folder}/x_0001.cbf:2", 404)["error"]


def test_xml_has_the_elements_that_clients_know(server):
    path = server.folder / "x_0001.cbf"
    truth = expected(path)
    for address, accept in ((f"{path}?format=xml", ""), (f"{path};format=xml", ""), (path, "text/xml")):
        status, headers, text = server.ask("GET", str(address), accept=accept or "*/*")
        assert (status, headers["content-type"]) == (200, "application/xml")
        found = {e.tag: e.text for e in ElementTree.fromstring(text)}
        assert found == {
            "image": str(path),
            "spot_count": str(truth["n_spots_total"]),
            "spot_count_no_ice": str(truth["n_spots_no_ice"]),
            "d_min": f"{truth['estimated_d_min']:.2f}",
            "d_min_method_1": f"{truth['d_min_distl_method_1']:.2f}",
            "d_min_method_2": f"{truth['d_min_distl_method_2']:.2f}",
            "total_intensity": f"{truth['total_intensity']:.0f}",
        }
    status, _, text = server.ask("GET", f"{server.folder}/gone%3C%26%01.cbf?format=xml")
    assert status == 404
    assert "gone<&?.cbf" in ElementTree.fromstring(text).findtext("error")


def test_warnings_are_in_the_answer(server):
    warnings = server.get(f"{server.folder}/x_0001.cbf;threshold.dispersion.sigma_strong=0")["warnings"]
    assert any(re.match(r"[\d.]+ % of the pixels of \S+ are strong", w) for w in warnings)


def test_names_with_blanks_and_accents(server):
    assert server.post({"image": f"{server.folder}/ünï .cbf"})["n_spots_total"] > 30
    assert server.get(f"{server.folder}/%C3%BCn%C3%AF%20.cbf")["n_spots_total"] > 30
    assert server.get(f"{server.folder}/inside.cbf")["n_spots_total"] > 30


def test_spots_that_are_no_lattice_are_said_not_to_be_indexed(server):
    answer = server.get(f"{server.folder}/x_0001.cbf;index=True;indexing.method=fft1d")
    assert answer["n_indexed"] == 0 or answer["fraction_indexed"] < 1
    assert ("indexing_error" in answer) == (not answer["lattices"])


def test_state_and_plugins_are_told(server):
    health = server.get("/health")
    assert (health["status"], health["workers"], health["queue"], health["waiting"]) == ("ok", 1, 16, 0)
    assert health["allow"] == [str(server.folder.resolve())]
    assert "dispersion" in server.get("/plugins")["threshold"]
    assert "cbf" in server.get("/plugins")["format"]
    assert "POST /stop" in server.get("/")["requests"]


# -- refusals

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
    (b'{"image": NaN}', 400, "NaN"),
    (b'{"image": 3}', 400, "must be the absolute path"),
    (b'{"image": ["/a"]}', 400, "must be the absolute path"),
    (b'{"image": "/a\\u0000b"}', 400, "not an absolute path"),
    (b'{"image": "/a\\ud800b"}', 400, "not a possible name"),
    (b'{"parameters": {}}', 400, "image: missing"),
    (b'{"image": "/a", "frames": 3}', 400, "frames not understood"),
    (b'{"image": "/a", "parameters": []}', 400, "must be an object"),
    (b'{"image": "/a", "parameters": {"index": true}}', 400, "beside parameters"),
    (b'{"image": "/a", "index": 7}', 400, "must be true or false"),
    (b'{"image": "/a", "parameters": {"d_min": [1, 2]}}', 400, "expected a number"),
    (b'{"image": "/a", "parameters": {"d_min": {"a": {"b": 1}}}}', 400, "is not a parameter"),
    (b'{"image": "/a", "parameters": {"d_min": ' + 500 * b"[" + 500 * b"]" + b"}}", 400, "nested too deeply"),
    (b'{"image": "/a", "parameters": {"d_min": ' + 5000 * b"9" + b"}}", 400, "not JSON"),
    (b'{"image": "/a", "parameters": {"min_spot_size": 1e999}}', 400, "whole number"),
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


def test_a_plugin_in_a_file_works_in_the_workers_too(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    pixels = np.ones((80, 90), np.int32)
    pixels[20:23, 30:33] = pixels[50:53, 60:63] = 1000
    write_mini_cbf(folder / "x_0001.cbf", pixels)
    mine = tmp_path / "mine.py"
    mine.write_text(
        "from spindle.contracts import Algorithm, hookimpl\n\n"
        "class HighThreshold(Algorithm):\n    @hookimpl\n    def find_strong(self, image, mask):\n"
        "        return (image > 500) & mask\n"
    )
    running = Server(folder, "nproc=1", "--plugin", f"{mine}:HighThreshold")
    answer = running.post({"image": str(folder / "x_0001.cbf"), "parameters": {"threshold.algorithm": "high"}})
    assert answer["n_spots_total"] == 2
    assert running.end() == 0, "".join(running.lines)


def test_a_worker_that_is_lost_at_its_start_costs_no_request(tmp_path):
    (tmp_path / "data").mkdir()
    write_mini_cbf(tmp_path / "data" / "x_0001.cbf", spotty(1), mini_cbf_header())
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "sitecustomize.py").write_text(
        "import os, sys\n"
        f"if sys.orig_argv[-1].endswith('.worker') and not os.path.exists({str(tmp_path / 'lost')!r}):\n"
        f"    open({str(tmp_path / 'lost')!r}, 'w').close()\n"
        "    os._exit(3)\n"
    )
    path = os.pathsep.join([str(tmp_path / "path"), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    server = Server(tmp_path / "data", "nproc=1", environment={**os.environ, "PYTHONPATH": path})
    answer = server.get(f"{tmp_path}/data/x_0001.cbf")
    assert answer["n_spots_total"] > 0 and (tmp_path / "lost").exists()
    assert server.get("/health")["workers_lost"] == 1
    assert server.end() == 0


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


# -- life


def worker_of(server) -> int:
    (pid,) = server.get("/health")["worker_processes"]
    return pid


def test_a_killed_worker_is_replaced_and_its_image_done_again(server):
    lost = server.get("/health")["workers_lost"]
    first = worker_of(server)
    os.kill(first, signal.SIGKILL)
    assert server.get(f"{server.folder}/x_0001.cbf")["n_spots_total"] > 30
    second = worker_of(server)
    assert second != first
    os.kill(second, signal.SIGSTOP)  # it gets a question that it cannot answer any more
    answers = []
    asking = threading.Thread(target=lambda: answers.append(server.get(f"{server.folder}/x_0002.cbf")))
    asking.start()
    while not server.get("/health")["workers_busy"]:
        time.sleep(0.01)
    os.kill(second, signal.SIGKILL)
    asking.join()
    assert answers[0]["n_spots_total"] > 30
    assert server.get("/health")["workers_lost"] == lost + 2


def test_a_hanging_worker_is_replaced_and_a_full_queue_refuses(tmp_path):
    image = write_mini_cbf(tmp_path / "x_0001.cbf", spotty(0), mini_cbf_header())
    server = Server(tmp_path, "nproc=1", "timeout=3", "queue=4")
    assert server.get(str(image))["n_spots_total"] > 30
    os.kill(worker_of(server), signal.SIGSTOP)
    answers = []
    asking = [threading.Thread(target=lambda: answers.append(server.ask("GET", str(image)))) for _ in range(8)]
    asking[0].start()
    while not server.get("/health")["workers_busy"]:
        time.sleep(0.01)
    for thread in asking[1:]:
        thread.start()
    for thread in asking:
        thread.join()
    by_status = {status: [a for a in answers if a[0] == status] for status in {a[0] for a in answers}}
    # Four wait and three are refused, unless this machine is so slow that one asks after the worker was replaced.
    assert len(by_status[504]) == 1 and len(by_status[200]) >= 4 and len(by_status[200]) + len(by_status[503]) == 7
    assert "timeout=3" in json.loads(by_status[504][0][2])["error"]
    assert by_status[503][0][1]["Retry-After"] == "1"
    assert "queue=4" in json.loads(by_status[503][0][2])["error"]
    assert server.end() == 0


def test_many_clients_get_the_same_answers(server):
    truth = [server.get(f"{server.folder}/x_{i + 1:04d}.cbf")["n_spots_total"] for i in range(N_IMAGES)]
    wrong: list[object] = []

    def client(first: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        for i in range(first, first + 10):
            connection.request("GET", f"{server.folder}/x_{i % N_IMAGES + 1:04d}.cbf")
            response = connection.getresponse()
            content = json.loads(response.read())
            if response.status != 200 or content["n_spots_total"] != truth[i % N_IMAGES]:
                wrong.append(content)
        connection.close()

    threads = [threading.Thread(target=client, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_stopped_server_answers_what_it_was_asked(tmp_path):
    image = write_mini_cbf(tmp_path / "x_0001.cbf", spotty(0), mini_cbf_header())
    server = Server(tmp_path, "nproc=1")
    answers: list[dict] = []
    asking = [threading.Thread(target=lambda: answers.append(server.get(str(image)))) for _ in range(4)]
    for thread in asking:  # the worker is not even ready yet
        thread.start()
    while server.get("/health")["waiting"] < 4:
        time.sleep(0.01)
    busy = subprocess.run(
        [sys.executable, "-m", "spindle.cli.main", "find_spots_server", f"port={server.port}"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert busy.returncode == 2
    assert f"cannot listen on port={server.port} of host=127.0.0.1: Address already in use. Next:" in busy.stderr
    server.is_interrupted = True
    server.process.send_signal(signal.SIGINT)
    for thread in asking:
        thread.join()
    assert [a["n_spots_total"] > 30 for a in answers] == 4 * [True]
    assert server.end() == 130
