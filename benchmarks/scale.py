"""Time of spindle scale beside DIALS on the same files.

    python benchmarks/scale.py EXPERIMENTS REFLECTIONS [--dials /usr/bin/dials.scale] [--args "model=KB ..."] [--repeat 3]

Prints wall seconds and peak memory of the whole commands (start-up and reading of files included), our first run
apart (it may compile), the best of the others, and the merging statistics of each.
"""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import tempfile
from pathlib import Path

from timing import dials_environment, first_and_best, spindle_program, timed


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
    ours = [spindle_program(), "scale", *files, *further]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first, best = first_and_best(ours, folder, options.repeat)
        print(f"spindle, first run   {first.wall:8.2f} s {first.memory:8.0f} MB")
        print(f"spindle, best of {options.repeat}   {best.wall:8.2f} s {best.memory:8.0f} MB   {found(best.text)}")
        if options.dials:
            environment = dials_environment(Path(options.dials).parent)
            other = timed([options.dials, *files, *further], folder, environment)
            print(f"DIALS                {other.wall:8.2f} s {other.memory:8.0f} MB   {found(other.text)}")
            print(f"ratio                {other.wall / best.wall:8.1f}")


if __name__ == "__main__":
    main()
