"""A running viewer, its client, and a browser."""

from __future__ import annotations

import asyncio
import http.client
import json
import struct
import threading
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import uvicorn
from spindle_program_image_viewer.desk import Desk
from spindle_program_image_viewer.image_sets import ImageSets
from spindle_program_image_viewer.kernels import LOWEST, N_LINEAR
from spindle_program_image_viewer.params import ImageViewerParams
from spindle_program_image_viewer.server import ViewerServer
from spindle_program_image_viewer.start import settings_of

from spindle.images import ImageSequence
from spindle.models import Beam, Detector, Experiment, Experiments, Goniometer, Panel, Scan
from spindle.params import build
from spindle_lib_serving.allowed import AllowedFolders
from spindle_lib_serving.listening import listen
from spindle_lib_serving.protocol import HttpServer, PatientProtocol
from spindle_lib_serving.testing import Browser, chromium

TOKEN = "a-token-of-the-tests"
BEAM = Beam(direction=(0.0, 0.0, 1.0), wavelength=1.0)


def rotation(axis: Sequence[float], degrees: float) -> np.ndarray:
    """(3, 3) float64."""
    from spindle.geometry import rotation_matrix

    return rotation_matrix(np.array(axis, float), np.deg2rad(degrees))


def two_theta_detector(degrees: float = 20.0) -> Detector:
    """One panel of 120 x 100 pixels that is swung out about y."""
    turn = rotation((0, 1, 0), degrees)
    frame = [turn @ v for v in ((1.0, 0, 0), (0, -1.0, 0), (-6.0, 5.0, -40.0))]
    return Detector([Panel(*frame, pixel_size=(0.1, 0.1), image_size=(120, 100), trusted_range=(0, 60000))])


def tiles(rows: int, columns: int, tilt: float = 4.0) -> Detector:
    """Panels of 30 x 20 pixels around the beam, each tilted towards the sample and turned a little."""
    panels = []
    for k in range(rows * columns):
        i, j = divmod(k, columns)
        x, y = (j - columns / 2) * 3.4, (rows / 2 - i) * 2.5
        turn = (
            rotation((1, 0, 0), tilt * (i - rows / 2))
            @ rotation((0, 1, 0), tilt * (j - columns / 2))
            @ rotation((0, 0, 1), k)
        )
        fast, slow = turn @ [1.0, 0, 0], turn @ [0, -1.0, 0]
        panels.append(
            Panel(fast, slow, np.array([x, y, -50.0 + 0.1 * k]), pixel_size=(0.1, 0.1), image_size=(30, 20), name=f"p{k}",
                  trusted_range=(0, 60000))
        )  # fmt: skip
    return Detector(panels)


DETECTORS = {"two-theta": two_theta_detector(), "24 panels": tiles(6, 4), "64 panels": tiles(8, 8)}


def experiment_of(detector: Detector, n_images: int = 5, seed: int = 0) -> Experiment:
    """A sweep in memory: Poisson noise, and on image i one pixel of 1000 + i at fast 7, slow 11 of every panel; 9, 3 masked."""
    rng = np.random.default_rng(seed)
    images = []
    for i in range(n_images):
        panels = []
        for panel in detector:
            pixels = rng.poisson(3.0, panel.image_size[::-1]).astype(np.int32)
            pixels[11, 7] = 1000 + i
            pixels[3, 9] = -2
            panels.append(pixels)
        images.append(panels)
    base = Experiment(
        beam=BEAM, detector=detector, goniometer=Goniometer((1.0, 0.0, 0.0)), scan=Scan((1, n_images), (10.0, 0.5))
    )
    return ImageSequence.from_arrays(base, images).experiment


class Client:
    """Asks a running viewer."""

    def __init__(self, port: int) -> None:
        self.port = port

    def raw(self, method: str, path: str, body: bytes = b"{}", **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and bytes of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
        response = connection.getresponse()
        data = response.read()
        connection.close()
        return response.status, dict(response.headers), data

    def ask(self, question: str, status: int = 200, **words: Any) -> Any:
        """The answer to a question: JSON, or (header, bytes)."""
        found, headers, data = self.raw(
            "POST", f"/api/{question}", json.dumps(words).encode(), Authorization=f"Bearer {TOKEN}"
        )
        if headers.get("content-encoding") == "deflate":
            data = zlib.decompress(data)
        assert found == status, data[:500]
        if headers["content-type"] == "application/json":
            return json.loads(data)
        length = struct.unpack("<I", data[:4])[0]
        return json.loads(data[4 : 4 + length]), data[4 + length :]

    def codes(self, **words: Any) -> tuple[dict[str, Any], np.ndarray]:
        """A view: header and codes."""
        header, data = self.ask("view", **words)
        return header, np.frombuffer(data, np.uint8).reshape(header["height"], header["width"])

    def values(self, **words: Any) -> tuple[np.ndarray, np.ndarray]:
        """Values and states of pixels."""
        header, data = self.ask("pixels", **words)
        n = header["width"] * header["height"]
        shape = header["height"], header["width"]
        return np.frombuffer(data, header["type"], n).reshape(shape), np.frombuffer(data, np.uint8, n, 4 * n).reshape(
            shape
        )


def decoded(codes: np.ndarray, header: dict[str, Any]) -> np.ndarray:
    """Values that codes begin at."""
    k = codes.astype(float) - LOWEST
    above = N_LINEAR * np.exp((k - N_LINEAR) / header["ratio"])
    return header["start"] + header["step"] * np.where(k < N_LINEAR, k, above)


class Running:
    """A viewer of some experiments, in a thread of this process."""

    def __init__(
        self, experiments: Sequence[Experiment], folder: str, projection: str = "image", **settings: Any
    ) -> None:
        params = build(ImageViewerParams).changed({"projection": projection, **settings})
        outputs = Path(folder) / "pixels.npz", Path(folder) / "mask.phil"
        self.desk = Desk(ImageSets(projection), AllowedFolders([folder]), _load, settings_of(params), outputs=outputs)
        if experiments:
            self.desk.add(Experiments(experiments))
        listener = listen("image_viewer", "127.0.0.1", None)
        self.port = listener.getsockname()[1]
        self.client = Client(self.port)
        self.address = f"http://localhost:{self.port}/#token={TOKEN}"
        self.ready = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._serve(listener)), daemon=True)
        self.thread.start()
        assert self.ready.wait(20)

    async def _serve(self, listener: Any) -> None:
        app = ViewerServer(self.desk, TOKEN, 2).app
        self.server = HttpServer(uvicorn.Config(app, http=PatientProtocol, ws="none", lifespan="off", log_config=None))
        self.loop = asyncio.get_running_loop()
        self.ready.set()
        with listener:
            await self.server.serve(sockets=[listener])

    def end(self) -> None:
        for _ in range(200):  # not before it has begun
            if self.server.started:
                break
            time.sleep(0.05)
        self.loop.call_soon_threadsafe(self.server.stop)
        self.thread.join(20)
        assert not self.thread.is_alive()


def _load(paths: Sequence[Any]) -> Any:
    import spindle

    return spindle.run("import", files=paths).experiments, []


@pytest.fixture(scope="session")
def aid():
    """What tests share: detectors, images with known pixels, a client."""
    return SimpleNamespace(
        BEAM=BEAM, DETECTORS=DETECTORS, TOKEN=TOKEN, Client=Client, decoded=decoded, experiment_of=experiment_of
    )


@pytest.fixture
def running(tmp_path):
    """What starts a viewer of experiments."""
    started = []

    def start(*experiments: Experiment, **settings: Any) -> Running:
        started.append(Running(experiments, str(tmp_path), **settings))
        return started[-1]

    yield start
    for one in started:
        one.end()


@pytest.fixture(scope="session")
def browser():
    """A window of Chromium; the test fails for any script error."""
    if chromium() is None:
        pytest.skip("no Chromium is installed; it is needed to open the page")
    with Browser(1000, 700) as window:
        yield window


@pytest.fixture
def page(browser):
    """What opens a viewer in the browser."""

    def open_page(running: Running, fragment: str = "") -> Browser:
        browser.problems.clear()
        browser.open("about:blank")
        browser.open(running.address + fragment)
        browser.wait("viewer.app.started && document.body.dataset.image !== undefined")
        return browser

    yield open_page
    assert not browser.problems
    assert browser.evaluate("window.viewerErrors || []") == []
