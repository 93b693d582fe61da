"""Time and memory of integration, ours and DIALS's side by side, as a user starts the programs.

    python benchmarks/integrate.py REFINED.expt REFINED.refl [--workers 2] [--repeat 2] [--dials /usr/bin] [--truth DIR]

The first run of ours is reported as cold (with an empty compile cache when --cold is given); the best of the others as
warm. With ``--dials`` the folder of the DIALS 3.12 commands, DIALS does the same with as many processes. With
``--truth`` the folder of a simulated set, `spindle check_truth` says how good both results are.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from pathlib import Path

from timing import dials_environment, first_and_best, spindle_program, timed


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", type=Path)
    parser.add_argument("reflections", type=Path)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--cold", action="store_true", help="start with an empty compile cache")
    parser.add_argument("--dials", type=Path, help="folder of the DIALS commands")
    parser.add_argument("--truth", type=Path, help="folder of a simulated set")
    options = parser.parse_args()
    inputs = [str(options.experiments.resolve()), str(options.reflections.resolve())]
    spindle = spindle_program()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = dict(os.environ)
        if options.cold:
            environment["XDG_CACHE_HOME"] = environment["NUMBA_CACHE_DIR"] = str(folder / "cache")
        command = [spindle, "integrate", *inputs, f"mp.nproc={options.workers}"]
        first, warm = first_and_best(command, folder, options.repeat, environment)
        print(f"spindle first: {first.wall:7.2f} s wall {first.processor:7.2f} s processor {first.memory:6.0f} MB")
        print(f"spindle warm:  {warm.wall:7.2f} s wall {warm.processor:7.2f} s processor {warm.memory:6.0f} MB")
        if options.truth:
            print(_quality(spindle, options.truth, folder, folder / "integrated.refl"))
        if options.dials:
            other = folder / "dials"
            other.mkdir()
            dials = [str(options.dials.absolute() / "dials.integrate"), *inputs, f"nproc={options.workers}"]
            found = timed(dials, other, dials_environment(options.dials))
            print(f"DIALS:         {found.wall:7.2f} s wall {found.processor:7.2f} s processor {found.memory:6.0f} MB")
            print(
                f"DIALS / spindle warm: {found.wall / warm.wall:.1f} in wall time, {found.processor / warm.processor:.1f} in processor time"
            )
            if options.truth:
                print(_quality(spindle, options.truth, folder, other / "integrated.refl"))


def _quality(spindle: str, truth: Path, folder: Path, reflections: Path) -> str:
    """What `spindle check_truth` says of a result."""
    done = subprocess.run(
        [spindle, "check_truth", str(truth.resolve()), str(reflections)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout if done.returncode == 0 else f"check_truth failed: {done.stdout[-500:]}{done.stderr[-500:]}"


if __name__ == "__main__":
    main()
