"""A browser for tests: headless Chromium, driven as a person would through the DevTools protocol on a pair of pipes."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

__all__ = ["Browser", "chromium"]

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_WORDS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-extensions", "--hide-scrollbars", "--force-device-scale-factor=1",
    "--remote-debugging-pipe", "about:blank",
)  # fmt: skip
_PATIENCE = 90.0


def chromium() -> str | None:
    """The path of an installed Chromium, or None."""
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


class Browser:
    """One window of headless Chromium; a context manager.

    Parameters
    ----------
    width, height : int
        Of the window, pixels.

    Attributes
    ----------
    problems : list of str
        Script errors and failed requests that the page had so far.
    """

    def __init__(self, width: int = 1200, height: int = 800) -> None:
        path = chromium()
        if path is None:
            raise FileNotFoundError("no Chromium is installed")
        self._profile = tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True)
        ask_read, self._ask = os.pipe()
        self._answers, answer_write = os.pipe()
        words = [path, *_WORDS, f"--window-size={width},{height}", f"--user-data-dir={self._profile.name}"]
        shell = f'exec "$@" 3<&{ask_read} 4>&{answer_write}'
        self._process = subprocess.Popen(
            ["bash", "-c", shell, "bash", *words], pass_fds=(ask_read, answer_write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**os.environ, "TMPDIR": self._profile.name},
        )  # fmt: skip
        os.close(ask_read)
        os.close(answer_write)
        self._buffer = b""
        self._number = 0
        self._session = ""
        self.problems: list[str] = []
        target = next(t for t in self.send("Target.getTargets")["targetInfos"] if t["type"] == "page")
        found = self.send("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = found["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the browser."""
        for end in (self._ask, self._answers):
            os.close(end)
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._profile.cleanup()

    @property
    def pid(self) -> int:
        """Process number of the browser."""
        return self._process.pid

    # -- the protocol
    # ---------------------------------------------------------------------------------------------------------

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and return its result; raises `RuntimeError` when it fails."""
        self._number += 1
        question = {"id": self._number, "method": method, "params": params}
        if self._session:
            question["sessionId"] = self._session
        os.write(self._ask, json.dumps(question).encode() + b"\0")
        end = time.monotonic() + _PATIENCE
        while True:
            message = self._message(end)
            if message.get("id") == self._number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']['message']}")
                result: dict[str, Any] = message["result"]
                return result

    def _message(self, end: float) -> dict[str, Any]:
        """The next message; what it says of problems is noted."""
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._answers], [], [], max(0.0, end - time.monotonic()))
            part = os.read(self._answers, 1 << 20) if ready else b""
            if not part:
                raise RuntimeError("the browser does not answer")
            self._buffer += part
        text, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        params = message.get("params", {})
        if message.get("method") == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.problems.append(details.get("exception", {}).get("description", details.get("text", "")))
        elif message.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.problems.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        elif message.get("method") == "Runtime.consoleAPICalled" and params["type"] == "error":
            self.problems.append(" ".join(str(a.get("value", a.get("description", ""))) for a in params["args"]))
        return message

    # -- what a person does
    # ----------------------------------------------------------------------------------------------------

    def open(self, address: str) -> None:
        """Go to an address."""
        self.send("Page.navigate", url=address)

    def evaluate(self, script: str) -> Any:
        """The value of an expression; promises are waited for."""
        found = self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            details = found["exceptionDetails"]
            raise RuntimeError(details.get("exception", {}).get("description", details["text"]))
        return found["result"].get("value")

    def wait(self, script: str, seconds: float = 30.0) -> Any:
        """Wait until an expression is true; return its value."""
        end = time.monotonic() + seconds
        while True:
            if value := self.evaluate(f"(() => {{ try {{ return {script}; }} catch (e) {{ return null; }} }})()"):
                return value
            if time.monotonic() > end:
                raise TimeoutError(f"{script} did not come true in {seconds:g} s; problems: {self.problems}")
            time.sleep(0.03)

    def mouse(self, kind: str, x: float, y: float, button: str = "none", **more: Any) -> None:
        """A mouse event: ``mouseMoved``, ``mousePressed``, ``mouseReleased`` or ``mouseWheel``."""
        self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, **more)

    def drag(self, *places: tuple[float, float], modifiers: int = 0) -> None:
        """Press the left button at the first place, move through the others, let go at the last."""
        held: dict[str, Any] = {"button": "left", "buttons": 1, "modifiers": modifiers}
        self.mouse("mouseMoved", *places[0])
        self.mouse("mousePressed", *places[0], clickCount=1, **held)
        for place in places[1:]:
            self.mouse("mouseMoved", *place, **held)
        self.mouse("mouseReleased", *places[-1], clickCount=1, button="left", modifiers=modifiers)

    def click(self, x: float, y: float) -> None:
        """Click at a place."""
        self.drag((x, y))

    def key(self, key: str) -> None:
        """Press and release a key by its DOM name, such as ``ArrowRight`` or ``f``."""
        text = {"text": key} if len(key) == 1 else {}
        self.send("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self.send("Input.dispatchKeyEvent", type="keyUp", key=key)

    def screenshot(self, path: Path) -> None:
        """Write what is seen as PNG."""
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"]))
