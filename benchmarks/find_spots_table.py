"""Images per second and memory of spot finding on four detectors, with one and two threads, ours and DIALS's.

    python benchmarks/find_spots_table.py [--folder FOLDER] [--dials /usr/bin] [--detectors pilatus_6m eiger_4m ...]

The images are simulated (see frames.py) and kept in the folder when one is given: CBF with byte-offset compression for
the Pilatus detectors, HDF5 with bitshuffle and LZ4 for the Eiger ones; frames repeat after ten. Whole programs are
timed from outside, start-up and reading included; a run that is not counted warms caches and compiles. Both programs
get the same experiment file and their defaults; ours also with the rule of DIALS for masked pixels, so that the
numbers of spots can be compared. DIALS finds the HDF5 filters in hdf5plugin.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
from pathlib import Path

from frames import DETECTORS, write_cbf_series, write_eiger
from timing import Run, dials_environment, first_and_best, spindle_program, timed

FRAMES = {"pilatus_300k": 180, "pilatus_6m": 100, "eiger_4m": 100, "eiger_16m": 40}


def prepare(folder: Path, detector: str) -> Path:
    """Simulate the frames of a detector, unless they are there, and import them; the folder."""
    here = folder / detector
    if not (here / "imported.expt").exists():
        here.mkdir(parents=True, exist_ok=True)
        if detector.startswith("pilatus"):
            images = write_cbf_series(here, detector, FRAMES[detector])
            options = ["geometry.scan.oscillation=0,0.1"]
        else:
            images, options = [write_eiger(here / "master.h5", detector, FRAMES[detector])], []
        timed([spindle_program(), "import", *(p.name for p in images), *options], here)
    return here


def count(run: Run, pattern: str) -> int:
    """Number of spots that a program says it found."""
    return int(re.findall(pattern, run.text, re.M)[-1])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--dials", type=Path, help="folder of the DIALS commands")
    parser.add_argument("--detectors", nargs="+", choices=list(DETECTORS), default=list(DETECTORS))
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--repeat", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = options.folder or Path(name)
        print(f"load {os.getloadavg()[0]:.1f}; images/s of the whole program, MB at most; ours : DIALS")
        print("| images | threads | images/s | ratio | CPU ms/image | ratio | MB | spots |")
        print("|---|---|---|---|---|---|---|---|")
        for detector in options.detectors:
            here = prepare(folder, detector)
            for threads in options.threads:
                print(row(here, detector, threads, options), flush=True)


def row(here: Path, detector: str, threads: int, options: argparse.Namespace) -> str:
    """One line of the table."""
    n = FRAMES[detector]
    command = [spindle_program(), "find_spots", "imported.expt", f"nproc={threads}"]
    _, ours = first_and_best(command, here, options.repeat)
    title = f"| {detector} x {n} | {threads} |"
    if not options.dials:
        found = count(ours, r"^(\d+) spots found")
        return f"{title} {n / ours.wall:.1f} | | {1e3 * ours.processor / n:.0f} | | {ours.memory:.0f} | {found} |"
    import hdf5plugin

    same = count(timed([*command, "legacy_erosion=True"], here), r"^(\d+) spots found")
    environment = dials_environment(options.dials) | {"HDF5_PLUGIN_PATH": str(hdf5plugin.PLUGINS_PATH)}
    theirs_in = here / "dials"
    theirs_in.mkdir(exist_ok=True)
    command = [str(options.dials.absolute() / "dials.find_spots"), "../imported.expt", f"nproc={threads}"]
    dials = timed(command, theirs_in, environment)
    found = count(dials, r"Saved (\d+) reflections")
    return (
        f"{title} {n / ours.wall:.1f} : {n / dials.wall:.1f} | {dials.wall / ours.wall:.1f} | "
        f"{1e3 * ours.processor / n:.0f} : {1e3 * dials.processor / n:.0f} | {dials.processor / ours.processor:.1f} | "
        f"{ours.memory:.0f} : {dials.memory:.0f} | {same} : {found} |"
    )


if __name__ == "__main__":
    main()
