"""Time and memory of every step, beside DIALS on the same images.

    python benchmarks/chain.py IMAGES_FOLDER [--steps find_spots,index] [--dials-steps FILE] [--nproc 2] [--cold]

Both chains run from the images with default parameters, each step as a whole process (start-up, compiled kernels from the cache and
reading of files included). With --cold the first run of ours starts with an empty kernel cache. DIALS runs with `nproc` given to the
steps that take it; its times may also be read from an earlier run (--dials-steps, lines "step rc=.. wall=m:ss.ss user=.. maxrss_kB=..").
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import tempfile
from pathlib import Path

from timing import CommandError, dials_environment, spindle_program, timed

CHAIN = [
    ("import", []),
    ("find_spots", ["imported.expt"]),
    ("index", ["imported.expt", "strong.refl"]),
    ("refine", ["indexed.expt", "indexed.refl"]),
    ("integrate", ["refined.expt", "refined.refl"]),
    ("symmetry", ["integrated.expt", "integrated.refl"]),
    ("scale", ["symmetrized.expt", "symmetrized.refl"]),
    ("merge", ["scaled.expt", "scaled.refl"]),
]
WITH_NPROC = {"find_spots", "index", "integrate"}


def run_chain(
    prefix: list[str],
    images: list[str],
    folder: Path,
    environment: dict[str, str],
    steps: set[str],
    extra: dict[str, list[str]],
):
    """Time every step; returns {step: (wall, cpu, memory)}."""
    result = {}
    for step, inputs in CHAIN:
        command = [f"{prefix[0]}.{step}"] if prefix[0] == "dials" else [*prefix, step]
        command += [*(images if step == "import" else inputs), *extra.get(step, [])]
        figures = timed(command, folder, environment)[:3]
        if step in steps:
            result[step] = figures
            print(
                f"  {prefix[-1]:>8s} {step:12s} {figures[0]:8.2f} s wall {figures[1]:8.2f} s cpu {figures[2]:7.0f} MB",
                flush=True,
            )
        if step == list(steps_in_order(steps))[-1]:
            break
    return result


def steps_in_order(steps: set[str]) -> list[str]:
    """The steps asked for, in the order of the chain."""
    return [s for s, _ in CHAIN if s in steps]


def read_steps(path: Path) -> dict[str, tuple[float, float, float]]:
    """Figures of an earlier run of DIALS."""
    found = {}
    for line in path.read_text().splitlines():
        match = re.match(r"(\w+) rc=0 wall=(?:(\d+):)?(\d+):([\d.]+) user=([\d.]+) maxrss_kB=(\d+)", line)
        if match:
            hours, minutes, seconds = int(match[2] or 0), int(match[3]), float(match[4])
            found[match[1]] = (3600 * hours + 60 * minutes + seconds, float(match[5]), int(match[6]) / 1024)
    return found


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path)
    parser.add_argument("--steps", default=",".join(s for s, _ in CHAIN))
    parser.add_argument("--dials-steps", type=Path)
    parser.add_argument("--nproc", default="2")
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--keep", type=Path, help="folder for the files of both chains")
    options = parser.parse_args()
    images = sorted(str(p.resolve()) for p in options.images.glob("*.cbf*"))
    steps = set(options.steps.split(","))
    with tempfile.TemporaryDirectory() as name:
        root = options.keep or Path(name)
        ours, theirs = root / "spindle", root / "dials"
        for folder in (ours, theirs):
            folder.mkdir(parents=True, exist_ok=True)
        environment = dict(os.environ)
        spindle = spindle_program()
        cold = None
        if options.cold:
            cold = run_chain(
                [spindle], images, ours, {**environment, "SPINDLE_CACHE_DIR": str(root / "cache")}, steps, {}
            )
            environment["SPINDLE_CACHE_DIR"] = str(root / "cache")
        else:
            run_chain([spindle], images, ours, environment, steps, {})  # a warm-up: compiles what is not in the cache
        warm = run_chain([spindle], images, ours, environment, steps, {})
        dials = shutil.which("dials.import") or shutil.which("dials.import", path="/usr/bin:/bin")
        peer: dict[str, tuple[float, float, float]] = {}
        if options.dials_steps:
            peer = read_steps(options.dials_steps)
        elif dials:
            extra = {step: [f"nproc={options.nproc}"] for step in WITH_NPROC}
            try:
                peer = run_chain(["dials"], images, theirs, dials_environment(Path(dials).parent), steps, extra)
            except CommandError as error:
                print(error)
        header = f"{'step':12s} {'ours (s)':>9s} {'cold (s)':>9s} {'DIALS (s)':>10s} {'ratio':>7s} {'ours (MB)':>10s} {'DIALS (MB)':>11s}"
        print(header)
        total = [0.0, 0.0, 0.0]
        for step in steps_in_order(steps):
            a, b, c = warm[step], (cold or {}).get(step), peer.get(step)
            total[0] += a[0]
            total[1] += b[0] if b else 0.0
            total[2] += c[0] if c else 0.0
            print(
                f"{step:12s} {a[0]:9.2f} {f'{b[0]:9.2f}' if b else '       --'} {f'{c[0]:10.2f}' if c else '        --'} "
                f"{f'{c[0] / a[0]:7.1f}' if c else '     --'} {a[2]:10.0f} {f'{c[2]:11.0f}' if c else '         --'}"
            )
        print(f"{'all':12s} {total[0]:9.2f} {total[1]:9.2f} {total[2]:10.2f} {total[2] / total[0]:7.1f}")


if __name__ == "__main__":
    main()
