"""Images a second that the image viewer shows, what each costs, and the memory of server and browser (Linux, Chromium).

    python benchmarks/view_images.py [--frames 2000] [--detector pilatus_6m] [--size 1200 900]
    python benchmarks/view_images.py --detector eiger_16m --frames 40    # the first image of 16M

A sweep is simulated (ten distinct frames, linked to as many as are wanted), opened, played from end to end, and then
stepped through with the right arrow key held down. An image counts as shown when the page has drawn it in an animation
frame that the browser gave it; what is only asked for or read does not count. Processor time is user and system time of
the server and of all processes of the browser. Memory is proportional (PSS: what is shared counts once) and resident (RSS
summed: what is shared counts for each process). The browser paints in software here, as it has no graphics card.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from frames import DETECTORS, write_cbf_series
from timing import spindle_program

from spindle_lib_serving.testing import Browser

TICKS = os.sysconf("SC_CLK_TCK")

# The page draws in animation frames; each notes which image of the main view it drew.
COUNT_DRAWN = """
(() => {
  const view = viewer.app.view, draw = view.drawNow.bind(view);
  window.drawn = { shown: 0, last: -1, redrawn: 0 };
  view.drawNow = () => {
    draw();
    const image = view.shown ? view.shown.image : -1;
    if (image === drawn.last) drawn.redrawn += 1; else { drawn.shown += 1; drawn.last = image; }
  };
})()
"""


class Use(NamedTuple):
    """Processor seconds so far, and memory now in MB, of a process and all that it started."""

    seconds: float
    proportional: float
    resident: float


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(folder.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def page_process(browser: int) -> int:
    """The process of the page: of those that draw pages the one that has worked most."""
    found = [p for p in family(browser) if b"--type=renderer" in Path(f"/proc/{p}/cmdline").read_bytes()]
    return max(found, key=lambda pid: use_of(pid, alone=True).seconds)


def use_of(pid: int, alone: bool = False) -> Use:
    """What a process and its descendants have used; those that have ended count for their parent."""
    seconds = proportional = resident = 0.0
    for one in [pid] if alone else family(pid):
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            memory = Path(f"/proc/{one}/smaps_rollup").read_text()
        except OSError:
            continue
        seconds += sum(map(int, fields[11:15])) / TICKS
        for name in ("Pss", "Rss"):
            found = re.search(rf"^{name}:\s+(\d+) kB", memory, re.MULTILINE)
            size = int(found[1]) / 1e3 if found else 0.0
            proportional, resident = (
                (proportional + size, resident) if name == "Pss" else (proportional, resident + size)
            )
    return Use(seconds, proportional, resident)


class Viewer:
    """A running image viewer and a window of it."""

    def __init__(self, paths: list[Path], size: tuple[int, int]) -> None:
        command = [spindle_program(), "image_viewer", *map(str, paths), "browser=False"]
        self.server = subprocess.Popen(
            command, cwd=paths[0].parent, stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True
        )
        self.browser = Browser(*size)
        assert self.server.stdout is not None
        for line in self.server.stdout:
            if found := re.search(r"http://localhost:\S+", line):
                self.address = found[0]
                return
        raise SystemExit("the viewer did not start")

    def open(self) -> float:
        """Open the page; seconds until its first image is drawn."""
        start = time.perf_counter()
        self.browser.open(self.address)
        self.browser.wait("document.body.dataset.image !== undefined")
        seconds = time.perf_counter() - start
        self.browser.wait("viewer.app.started")
        return seconds

    def use(self) -> tuple[Use, Use]:
        """Of the server and of the browser."""
        return use_of(self.server.pid), use_of(self.browser.pid)

    def close(self) -> None:
        """End both."""
        self.browser.close()
        self.server.terminate()
        self.server.wait(20)


def say(title: str, viewer: Viewer, before: tuple[Use, Use], wall: float, bytes_before: int) -> None:
    """Print what was shown since `before`, and its price."""
    shown = viewer.browser.evaluate("drawn.shown")
    traffic = viewer.browser.evaluate("viewer.traffic.bytes") - bytes_before
    server, browser = viewer.use()
    costs = [
        1e3 * (now.seconds - then.seconds) / max(shown, 1) for now, then in zip((server, browser), before, strict=True)
    ]
    print(
        f"{title}: {shown} images drawn in {wall:.1f} s, {shown / wall:.1f} a second; processor time an image {sum(costs):.1f} ms "
        f"(server {costs[0]:.1f}, browser {costs[1]:.1f}); {traffic / max(shown, 1) / 1e3:.0f} kB an image"
    )
    page = use_of(page_process(viewer.browser.pid), alone=True)
    for name, kind in (("PSS", 1), ("RSS", 2)):
        print(
            f"  {name} {server[kind] + browser[kind]:.0f} MB (server {server[kind]:.0f}, browser {browser[kind]:.0f}, of which the process "
            f"of the page {page[kind]:.0f}: server and page {server[kind] + page[kind]:.0f})"
        )


def play(viewer: Viewer, n: int) -> None:
    """Play until `n` images were drawn."""
    page = viewer.browser
    page.evaluate(COUNT_DRAWN)
    before, sent, start = viewer.use(), page.evaluate("viewer.traffic.bytes"), time.perf_counter()
    page.evaluate("void viewer.app.play()")
    while page.evaluate("drawn.shown") < n:
        time.sleep(0.2)
    wall = time.perf_counter() - start
    page.evaluate("void viewer.app.play()")
    say("played", viewer, before, wall, sent)


def hold(viewer: Viewer, seconds: float, rate: float) -> None:
    """Hold the right arrow key down, which a keyboard repeats."""
    page = viewer.browser
    page.evaluate("viewer.app.go(Math.floor(viewer.app.scene.n_images / 2))")  # where no image is kept
    page.evaluate("document.getElementById('view').focus()")
    page.evaluate("Object.assign(drawn, { shown: 0, last: viewer.app.image })")
    before, sent, start = viewer.use(), page.evaluate("viewer.traffic.bytes"), time.perf_counter()
    pressed = 0
    while (now := time.perf_counter() - start) < seconds:
        if now * rate >= pressed:
            page.send("Input.dispatchKeyEvent", type="keyDown", key="ArrowRight", autoRepeat=pressed > 0)
            pressed += 1
        else:
            time.sleep(max(0.0, pressed / rate - now))
    page.send("Input.dispatchKeyEvent", type="keyUp", key="ArrowRight")
    say(
        f"right arrow held, {pressed / seconds:.1f} presses a second", viewer, before, time.perf_counter() - start, sent
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--detector", choices=DETECTORS, default="pilatus_6m")
    parser.add_argument(
        "--size", type=int, nargs=2, default=(1200, 900), metavar=("WIDTH", "HEIGHT"), help="of the window"
    )
    parser.add_argument("--held", type=float, default=10.0, help="seconds for which the arrow key is held down")
    parser.add_argument("--presses", type=float, default=33.0, help="key repeats a second")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        paths = write_cbf_series(Path(name), options.detector, options.frames)
        viewer = Viewer(paths, tuple(options.size))
        try:
            print(
                f"{options.detector}, window of {options.size[0]} x {options.size[1]}, {len(os.sched_getaffinity(0))} processors"
            )
            print(f"first image {viewer.open():.2f} s after the address was entered")
            play(viewer, options.frames)
            hold(viewer, options.held, options.presses)
        finally:
            viewer.close()


if __name__ == "__main__":
    main()
