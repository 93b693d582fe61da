"""Time and memory of integration, ours and DIALS's side by side, as a user starts the programs.

    python benchmarks/integrate.py REFINED.expt REFINED.refl [--workers 2] [--repeat 2] [--dials /usr/bin] [--truth DIR]

The first run of ours is reported as cold (with an empty compile cache when --cold is given); the best of the others as
warm. With ``--dials`` the folder of the DIALS 3.12 commands, DIALS does the same with as many processes. With
``--truth`` the folder of a simulated set, `spindle check_truth` says how good both results are.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def timed(command: list[str], folder: Path, environment: dict[str, str]) -> tuple[float, float, float]:
    """Wall seconds, processor seconds and peak memory (MB, largest of all children so far) of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    with (folder / "output.txt").open("w") as stream:
        done = subprocess.run(
            command, cwd=folder, env=environment, stdout=stream, stderr=subprocess.STDOUT, check=False
        )
    wall = time.perf_counter() - start
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n" + (folder / "output.txt").read_text()[-2000:])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, after.ru_maxrss / 1024


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
    spindle = str(Path(sys.executable).with_name("spindle"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = dict(os.environ)
        if options.cold:
            environment["XDG_CACHE_HOME"] = environment["NUMBA_CACHE_DIR"] = str(folder / "cache")
        command = [spindle, "integrate", *inputs, f"mp.nproc={options.workers}"]
        runs = [timed(command, folder, environment) for _ in range(1 + options.repeat)]
        warm = min(runs[1:], default=runs[0])
        print(f"spindle first: {runs[0][0]:7.2f} s wall {runs[0][1]:7.2f} s processor {runs[0][2]:6.0f} MB")
        print(f"spindle warm:  {warm[0]:7.2f} s wall {warm[1]:7.2f} s processor {warm[2]:6.0f} MB")
        if options.truth:
            print(_quality(spindle, options.truth, folder, folder / "integrated.refl"))
        if options.dials:
            other = folder / "dials"
            other.mkdir()
            plain = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}
            plain["PATH"] = f"{options.dials}:/usr/bin:/bin"
            dials = [str(options.dials / "dials.integrate"), *inputs, f"nproc={options.workers}"]
            found = timed(dials, other, plain)
            print(f"DIALS:         {found[0]:7.2f} s wall {found[1]:7.2f} s processor {found[2]:6.0f} MB")
            print(
                f"DIALS / spindle warm: {found[0] / warm[0]:.1f} in wall time, {found[1] / warm[1]:.1f} in processor time"
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
