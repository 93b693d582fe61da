"""Time of spindle refine beside DIALS on the same files.

    python benchmarks/refine.py EXPERIMENTS REFLECTIONS [--dials /usr/bin/dials.refine] [--args "scan_varying=False"]

Prints wall seconds and peak memory of the whole commands (start-up and reading of files included), our first run apart
(it may compile), the best of the others, and the RMSDs of each. A last line is the time of one static refinement of 500
reflections inside a running process, the work that indexing repeats for every candidate.
"""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import tempfile
from pathlib import Path

import numpy as np
from timing import best_of, dials_environment, first_and_best, spindle_program, timed


def rmsds(text: str) -> str:
    """Reflections and RMSDs of the first experiment, from the last table of the output."""
    rows = re.findall(r"^\|\s+0 \|\s+(\d+) \|\s+([\d.]+) \|\s+([\d.]+) \|\s+([\d.]+) \|", text, re.MULTILINE)
    return "n {} rmsd {} {} px {} images".format(*rows[-1]) if rows else "?"


def one_call(experiments: Path, reflections: Path) -> float:
    """Seconds of one static refinement of 500 reflections with outlier rejection by tukey."""
    from spindle.files import read_experiments, read_reflections
    from spindle.params.resolve import build
    from spindle.testing import make_context
    from spindle_lib_refinement.params import IndexingRefinementParams

    models, table = read_experiments(experiments), read_reflections(reflections)
    table = table.select((table["miller_index"] != 0).any(axis=1))
    chosen = np.sort(np.random.default_rng(0).choice(len(table), min(500, len(table)), replace=False))
    table = table.select(chosen).without("shoebox")
    settings = build(IndexingRefinementParams).changed(reflections__outlier__algorithm="tukey")
    refiner = make_context().algorithm("refiner", "centroid")

    def call() -> object:
        return refiner.refine(experiments=models, reflections=table, settings=settings, scan_varying=False)

    return best_of(call, 11)[0]


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
    ours = [spindle_program(), "refine", *files, *further]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first, best = first_and_best(ours, folder, options.repeat)
        print(f"spindle, first run {first.wall:7.2f} s")
        print(f"spindle            {best.wall:7.2f} s {best.memory:6.0f} MB   {rmsds(best.text)}")
        if options.dials:
            environment = dials_environment(Path(options.dials).parent)
            dials = timed([options.dials, *files, *further], folder, environment)
            print(f"dials              {dials.wall:7.2f} s {dials.memory:6.0f} MB   {rmsds(dials.text)}")
            print(f"ratio              {dials.wall / best.wall:7.1f}   {dials.memory / best.memory:6.2f}")
    print(f"500 reflections    {1e3 * one_call(options.experiments, options.reflections):7.1f} ms a call")


if __name__ == "__main__":
    main()
