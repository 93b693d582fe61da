"""A running spot-finding server."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest

from spindle_lib_readers.testing.mini_cbf import mini_cbf_header, write_mini_cbf
from spindle_lib_readers.testing.nexus import write_nxmx

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


@pytest.fixture(scope="session")
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
    assert not (folder.parent / "ran").exists(), "a module beside the images was run"
    left = {p.name for p in folder.parent.iterdir()} | {p.suffix for p in folder.iterdir()}
    modules = {"json.py", "logging.py", "numpy.py", "asyncio.py"}
    assert left == {"data", "secret.cbf", ".cbf", ".nxs", *modules}  # nothing was written, none of the modules was run


@pytest.fixture
def start_server():
    """What starts another server: folder, words of the command line and ``environment``."""
    return Server


@pytest.fixture(name="spotty")
def pixels_with_spots():
    """The function that makes pixels with spots from a seed."""
    return spotty
