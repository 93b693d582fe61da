"""Time of spindle index beside DIALS on the same files.

    python benchmarks/index.py EXPERIMENTS SPOTS [--dials /usr/bin/dials.index] [--args "max_cell=100 ..."] [--repeat 3]

Prints wall seconds and peak memory of the whole commands (start-up and reading of files included), our first run
apart (it may compile), the best of the others, and what each found.
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
    ours = [spindle_program(), "index", *files, *further]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first, best = first_and_best(ours, folder, options.repeat)
        print(f"spindle, first run {first.wall:7.2f} s")
        print(f"spindle            {best.wall:7.2f} s {best.memory:6.0f} MB   {found(best.text)}")
        if options.dials:
            environment = dials_environment(Path(options.dials).parent)
            dials = timed([options.dials, *files, *further], folder, environment)
            print(f"dials              {dials.wall:7.2f} s {dials.memory:6.0f} MB   {found(dials.text)}")
            print(f"ratio              {dials.wall / best.wall:7.1f}   {dials.memory / best.memory:6.2f}")


if __name__ == "__main__":
    main()
