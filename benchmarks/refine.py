"""Time of spindle refine beside DIALS on the same files.

    python benchmarks/refine.py EXPERIMENTS REFLECTIONS [--dials /usr/bin/dials.refine] [--args "scan_varying=False"]

Prints wall seconds and peak memory of the whole commands (start-up and reading of files included), our first run apart
(it may compile), the best of the others, and the RMSDs of each. A last line is the time of one static refinement of 500
reflections inside a running process, the work that indexing repeats for every candidate.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np


def timed(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> tuple[float, float, str]:
    """Wall seconds, peak memory in MB and output of a command."""
    start = time.perf_counter()
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        text = process.stdout.read() if process.stdout else ""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{text[-2000:]}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024, text


def rmsds(text: str) -> str:
    """Reflections and RMSDs of the first experiment, from the last table of the output."""
    rows = re.findall(r"^\|\s+0 \|\s+(\d+) \|\s+([\d.]+) \|\s+([\d.]+) \|\s+([\d.]+) \|", text, re.MULTILINE)
    return "n {} rmsd {} {} px {} images".format(*rows[-1]) if rows else "?"


def one_call(experiments: Path, reflections: Path) -> float:
    """Seconds of one static refinement of 500 reflections with outlier rejection by tukey."""
    from spindle.contracts.refinement_params import IndexingRefinementParams
    from spindle.files import read_experiments, read_reflections
    from spindle.params.resolve import build
    from spindle.testing import make_context

    models, table = read_experiments(experiments), read_reflections(reflections)
    table = table.select((table["miller_index"] != 0).any(axis=1))
    chosen = np.sort(np.random.default_rng(0).choice(len(table), min(500, len(table)), replace=False))
    table = table.select(chosen).without("shoebox")
    settings = build(IndexingRefinementParams)
    settings.reflections.outlier.algorithm = "tukey"
    refiner = make_context().algorithm("refiner", "centroid")

    def call() -> float:
        start = time.perf_counter()
        refiner.refine(experiments=models, reflections=table, settings=settings, scan_varying=False)
        return time.perf_counter() - start

    call()
    return min(call() for _ in range(10))


def main() -> None:
    """Run both and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiments", type=Path)
    parser.add_argument("reflections", type=Path)
    parser.add_argument("--dials", default=shutil.which("dials.refine"), help="path of dials.refine")
    parser.add_argument("--args", default="", help="further parameters for both")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    files = [str(options.experiments.resolve()), str(options.reflections.resolve())]
    further = shlex.split(options.args)
    spindle = shutil.which("spindle") or str(Path(sys.executable).parent / "spindle")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs = [timed([spindle, "refine", *files, *further], folder) for _ in range(options.repeat + 1)]
        best = min(runs[1:], key=lambda run: run[0])
        print(f"spindle, first run {runs[0][0]:7.2f} s")
        print(f"spindle            {best[0]:7.2f} s {best[1]:6.0f} MB   {rmsds(best[2])}")
        if options.dials:
            clean = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}
            clean["PATH"] = "/usr/bin:/bin"
            seconds, memory, text = timed([options.dials, *files, *further], folder, clean)
            print(f"dials              {seconds:7.2f} s {memory:6.0f} MB   {rmsds(text)}")
            print(f"ratio              {seconds / best[0]:7.1f}   {memory / best[1]:6.2f}")
    print(f"500 reflections    {1e3 * one_call(options.experiments, options.reflections):7.1f} ms a call")


if __name__ == "__main__":
    main()
