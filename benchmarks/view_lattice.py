"""Frames a second and processor time of the page of reciprocal space with many points, turned by hand (Linux, Chromium).

    python benchmarks/view_lattice.py [--points 500000] [--frames 300]

The points are random places on a detector. WebGL is drawn by the processor (SwiftShader): this is the slowest machine that the page
meets. A frame counts when the page has drawn it in an animation frame that the browser gave it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from view_images import use_of

import spindle
from spindle.models import Experiments
from spindle.table import Flag, ReflectionTable
from spindle.testing.refinement_problems import rotation_experiment
from spindle_lib_serving.testing import Browser


def page_of(n: int, folder: Path) -> Path:
    """A page of `n` points."""
    rng = np.random.default_rng(0)
    experiment = rotation_experiment(180)
    table = ReflectionTable({
        "id": np.where(rng.random(n) < 0.7, 0, -1).astype(np.int32), "panel": np.zeros(n, np.uint64),
        "miller_index": rng.integers(-40, 40, (n, 3)).astype(np.int32), "flags": np.full(n, int(Flag.STRONG), np.uint64),
        "xyzobs.px.value": rng.uniform(0, 1, (n, 3)) * [*experiment.detector[0].image_size, 180],
        "xyzobs.px.variance": np.ones((n, 3)), "intensity.sum.value": rng.exponential(1000, n),
    })  # fmt: skip
    result = spindle.run("reciprocal_lattice_viewer", Experiments([experiment]), table)
    ((name, write),) = result.files.items()
    path = folder / Path(name).name
    write(path)
    return path


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=500_000)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=20.0, help="at most for each measurement")
    parser.add_argument("--size", type=int, nargs=2, default=(1200, 900), metavar=("WIDTH", "HEIGHT"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, Browser(*options.size) as page:
        path = page_of(options.points, Path(name))
        start = time.perf_counter()
        page.open(path.as_uri())
        page.wait("document.body.dataset.visible !== undefined || document.body.dataset.problem", 300)
        if page.evaluate("document.body.dataset.problem || ''"):
            raise SystemExit(page.evaluate("document.body.dataset.problem"))
        print(f"{options.points} points: {time.perf_counter() - start:.1f} s until all are drawn")
        for title, script, most in (
            ("turning", "rotate([0.6, 0.8, 0], 0.01)", options.frames),
            ("at rest, all points", "redraw()", 10),
        ):
            before, start = use_of(page.pid), time.perf_counter()
            n = page.evaluate(
                f"new Promise((done) => {{ const end = performance.now() + {1e3 * options.seconds}; let k = 0; (function again() {{"
                f" if (k === {most} || performance.now() > end) done(k); else {{ k += 1; {script}; requestAnimationFrame(again); }} }})(); }})"
            )
            wall, used = time.perf_counter() - start, use_of(page.pid)
            drawn = page.evaluate("state.drawn || ''")
            print(
                f"{title}: {n / wall:.1f} frames a second, processor time a frame {1e3 * (used.seconds - before.seconds) / max(n, 1):.1f} ms"
                + (f", {drawn} points at the end" if drawn else "")
            )
        print(f"PSS {used.proportional:.0f} MB, RSS {used.resident:.0f} MB of the browser")


if __name__ == "__main__":
    main()
