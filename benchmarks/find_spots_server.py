"""Requests per second of the spot-finding server, ours and DIALS's, and whether all answers to an image are the same.

    python benchmarks/find_spots_server.py IMAGES... [--requests 500] [--clients 8] [--workers 2] [--dials /usr/bin]

Give plain images with absolute or relative names. Each server is started on a free port, asked for every image once
(not counted), and then for all of them in turn by several clients at once.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from timing import dials_environment, spindle_program


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def server(command: list[str], port: int, environment: dict[str, str] | None = None) -> Iterator[str]:
    """A running server, as the beginning of its addresses."""
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        for _ in range(300):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)  # with the workers, which DIALS's server leaves behind
        process.wait(30)


def ask(address: str, path: Path) -> tuple[float, dict[str, Any]]:
    """Seconds and the answer about one image, without what differs from one time to the next."""
    start = time.perf_counter()
    with urllib.request.urlopen(address + urllib.parse.quote(str(path)), timeout=300) as reply:
        content = json.load(reply)
    content.pop("timings", None)
    return time.perf_counter() - start, content


def measure(title: str, address: str, images: list[Path], options: argparse.Namespace) -> None:
    """Ask, and print the rate, the latency and how many answers differ."""
    known = {path: ask(address, path)[1] for path in images}
    asked = [images[i % len(images)] for i in range(options.requests)]
    start = time.perf_counter()
    with ThreadPoolExecutor(options.clients) as pool:
        answers = list(pool.map(lambda path: ask(address, path), asked))
    wall = time.perf_counter() - start
    different = sum(known[path] != content for path, (_, content) in zip(asked, answers, strict=True))
    failed = sum("error" in content for _, content in answers)
    seconds = np.array([s for s, _ in answers])
    print(
        f"{title:8s} {len(asked)} requests of {options.clients} clients: {len(asked) / wall:.1f}/s, median "
        f"{np.median(seconds):.3f} s, slowest {seconds.max():.2f} s, {failed} errors, {different} answers differ, "
        f"{sum(c.get('n_spots_total', 0) for c in known.values())} spots on {len(images)} images"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="+", type=Path)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--dials", type=Path, help="folder of the DIALS commands")
    options = parser.parse_args()
    images = [path.resolve() for path in options.images]
    port = free_port()
    ours = [spindle_program(), "find_spots_server", f"port={port}", f"nproc={options.workers}"]
    with server([*ours, *{f"allow={path.parent}" for path in images}], port) as address:
        measure("Spindle", address, images, options)
    if options.dials:
        port = free_port()
        theirs = [str(options.dials / "dials.find_spots_server"), f"port={port}", f"nproc={options.workers}"]
        with server(theirs, port, dials_environment(options.dials)) as address:
            measure("DIALS", address, images, options)


if __name__ == "__main__":
    main()
