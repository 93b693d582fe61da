"""Time of spindle scale beside DIALS on the same files.

    python benchmarks/scale.py EXPERIMENTS REFLECTIONS [--dials /usr/bin/dials.scale] [--args "model=KB ..."] [--repeat 3]

Prints wall seconds and peak memory of the whole commands (start-up and reading of files included), our first run
apart (it may compile), the best of the others, and the merging statistics of each.
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
    """Overall statistics, from the summary table of the output; DIALS has the overall column last, we have it first."""
    values = []
    for label in ("Rmeas(I)", "Rpim(I)", "CC half", "I/sigma", "Total observations"):
        match = re.search(rf"^[| ]*{re.escape(label)}  *\|?(.*)$", text, re.MULTILINE)
        numbers = [n for n in re.split(r"[|\s]+", match.group(1)) if n] if match else []
        if numbers:
            values.append(f"{label} {numbers[0] if '|' in match.group(0) else numbers[-1]}")
    return ", ".join(values)


def main() -> None:
    """Run both and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiments", type=Path)
    parser.add_argument("reflections", type=Path)
    parser.add_argument("--dials", default=shutil.which("dials.scale"), help="path of dials.scale")
    parser.add_argument("--args", default="", help="further parameters for both")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    files = [str(options.experiments.resolve()), str(options.reflections.resolve())]
    further = shlex.split(options.args)
    spindle = shutil.which("spindle") or str(Path(sys.executable).parent / "spindle")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs = [timed([spindle, "scale", *files, *further], folder) for _ in range(options.repeat + 1)]
        best = min(runs[1:], key=lambda run: run[0])
        print(f"spindle, first run   {runs[0][0]:8.2f} s {runs[0][1]:8.0f} MB")
        print(f"spindle, best of {options.repeat}   {best[0]:8.2f} s {best[1]:8.0f} MB   {found(best[2])}")
        if options.dials:
            environment = {k: v for k, v in os.environ.items() if k != "VIRTUAL_ENV"} | {"PATH": "/usr/bin:/bin"}
            other = timed([options.dials, *files, *further], folder, environment)
            print(f"DIALS                {other[0]:8.2f} s {other[1]:8.0f} MB   {found(other[2])}")
            print(f"ratio                {other[0] / best[0]:8.1f}")


if __name__ == "__main__":
    main()
