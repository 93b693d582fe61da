"""Time of spindle index beside DIALS on the same files.

    python benchmarks/index.py EXPERIMENTS SPOTS [--dials /usr/bin/dials.index] [--args "max_cell=100 ..."] [--repeat 3]

Prints wall seconds and peak memory of the whole commands (start-up and reading of files included), our first run
apart (it may compile), the best of the others, and what each found.
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


def found(text: str) -> str:
    """Cell and indexed spots, from the last tables of the output."""
    cells = re.findall(r"Unit cell: (.*)", text)
    counts = re.findall(r"^\|\s+\d+ \|\s+(\d+) \|\s+(\d+) \|\s+[\d.]+%", text, re.MULTILINE)
    last = counts[-1] if counts else ("?", "?")
    return f"{cells[-1] if cells else '?'}; {last[0]} indexed, {last[1]} not"


def main() -> None:
    """Run both and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiments", type=Path)
    parser.add_argument("spots", type=Path)
    parser.add_argument("--dials", default=shutil.which("dials.index"), help="path of dials.index")
    parser.add_argument("--args", default="", help="further parameters for both")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    files = [str(options.experiments.resolve()), str(options.spots.resolve())]
    further = shlex.split(options.args)
    spindle = shutil.which("spindle") or str(Path(sys.executable).parent / "spindle")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs = [timed([spindle, "index", *files, *further], folder) for _ in range(options.repeat + 1)]
        best = min(runs[1:], key=lambda run: run[0])
        print(f"spindle, first run {runs[0][0]:7.2f} s")
        print(f"spindle            {best[0]:7.2f} s {best[1]:6.0f} MB   {found(best[2])}")
        if options.dials:
            clean = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}
            clean["PATH"] = "/usr/bin:/bin"
            seconds, memory, text = timed([options.dials, *files, *further], folder, clean)
            print(f"dials              {seconds:7.2f} s {memory:6.0f} MB   {found(text)}")
            print(f"ratio              {seconds / best[0]:7.1f}   {memory / best[1]:6.2f}")


if __name__ == "__main__":
    main()
