"""Time of spot finding, ours and DIALS's side by side: thresholds alone, and the whole program as a user starts it.

    python benchmarks/find_spots.py IMAGES... [--frames 60] [--workers 1] [--repeat 5] [--dials /usr/bin]

Give plain (not compressed) images. For the whole program they are linked one after the other, again from the start if
there are fewer than ``--frames``, to a sweep of 0.1 degree images. With ``--dials`` the folder of the DIALS 3.12
commands, DIALS does the same with as many workers, and the numbers of strong pixels and spots are compared (with its
rule for masked pixels, ``legacy_erosion``). One run of each program that is not counted warms caches and compiles.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from timing import best_of, dials_environment, dials_python, first_and_best, run_in_dials, spindle_program

DIALS_THRESHOLDS = """
import json, sys, time
from dxtbx.model.experiment_list import ExperimentListFactory
from dials.algorithms.image.threshold import DispersionExtendedThreshold, DispersionThreshold
from dials.array_family import flex
imageset = ExperimentListFactory.from_filenames(sys.argv[2:]).imagesets()[0]
result = {}
for name, kind in (("dispersion", DispersionThreshold), ("dispersion_extended", DispersionExtendedThreshold)):
    rows = []
    for i in range(len(imageset)):
        image, mask = imageset.get_corrected_data(i)[0], imageset.get_mask(i)[0]
        find, best = kind(image.all(), (3, 3), 6, 3, 0, 2), float("inf")
        for _ in range(int(sys.argv[1])):
            out = flex.bool(flex.grid(image.all()))
            start = time.process_time()
            find(image, mask, out)
            best = min(best, time.process_time() - start)
        rows.append((best, out.count(True)))
    result[name] = rows
print("RESULT", json.dumps(result))
"""


def our_thresholds(files: list[Path], repeat: int) -> dict[str, list[tuple[float, int]]]:
    """Best processor time in seconds and number of strong pixels of each file, by threshold."""
    from spindle.images import open_image
    from spindle.images.trusted import trusted_mask
    from spindle.params import Params
    from spindle.testing import make_context

    images = []
    for path in files:
        reader = open_image(path)
        panel, pixels = reader.models(0).detector[0], reader.read(0)[0].copy()
        declared = reader.mask()
        good = np.ones(pixels.shape, np.bool_) if declared is None else declared[0].copy()
        for f0, s0, f1, s1 in panel.mask:
            good[s0:s1, f0:f1] = False
        images.append((pixels, trusted_mask(pixels, good, *panel.trusted_range, np.empty(pixels.shape, np.bool_))))
    result = {}
    for name in ("dispersion", "dispersion_extended"):
        context = make_context()
        params: Params = context.host.load("threshold", name).Params()
        if name == "dispersion_extended":
            params = params.changed(legacy_erosion=True)
        plugin = context.algorithm("threshold", name, params)
        rows = []
        for pixels, mask in images:
            out = np.empty(pixels.shape, np.bool_)
            find = partial(
                plugin.find_strong, image=pixels, mask=mask, gain=1.0, panel=None, beam=None, corner=(0, 0), out=out
            )
            best, _ = best_of(find, repeat + 1, time.process_time)
            rows.append((best, int(out.sum())))
        result[name] = rows
    return result


def make_sweep(files: list[Path], n_frames: int, folder: Path) -> Path:
    """Experiment file of a rotation sweep made of links to the images."""
    from spindle.execution import run as run_program
    from spindle.files import write_experiments

    for i in range(n_frames):
        (folder / f"sweep_{i + 1:04d}.cbf").symlink_to(files[i % len(files)].resolve())
    result = run_program(
        "import", files=sorted(folder.glob("sweep_*.cbf")), **{"geometry.scan.oscillation": (0.0, 0.1)}
    )
    path = folder / "imported.expt"
    write_experiments(result.experiments, path)
    return path


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="+", type=Path)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--dials", type=Path, help="folder of the DIALS commands")
    options = parser.parse_args()

    print(f"{len(options.images)} images, best of {options.repeat}, processor time; load {os.getloadavg()[0]:.1f}")
    theirs: dict[str, Any] = {}
    if options.dials:
        python = dials_python(options.dials) or str(options.dials / "dials.python")
        theirs = run_in_dials(python, DIALS_THRESHOLDS, str(options.repeat), *map(str, options.images))
    for name, rows in our_thresholds(options.images, options.repeat).items():
        mean = 1e3 * float(np.mean([r[0] for r in rows]))
        line = f"{name:20s} {mean:7.2f} ms/frame"
        if name in theirs:
            other = 1e3 * float(np.mean([r[0] for r in theirs[name]]))
            same = [r[1] for r in rows] == [r[1] for r in theirs[name]]
            line += (
                f"   DIALS {other:7.1f} ms/frame   ratio {other / mean:5.1f}   same counts: {'yes' if same else 'NO'}"
            )
        print(line)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_sweep(options.images, options.frames, folder)
        workers = f"spotfinder.mp.nproc={options.workers}"
        ours = [spindle_program(), "find_spots", "imported.expt", "legacy_erosion=True", workers]
        _, best = first_and_best(ours, folder, 2)
        n_ours = int(re.findall(r"^(\d+) spots found", best.text, re.M)[0])
        print(
            f"find_spots, {options.frames} frames, {options.workers} workers, warm: {best.wall:.2f} s wall, {best.processor:.2f} s "
            f"processor, {1e3 * best.wall / options.frames:.1f} ms/frame, {best.memory:.0f} MB, {n_ours} spots"
        )
        if options.dials:
            command = [str(options.dials.absolute() / "dials.find_spots"), "imported.expt"]
            command += [f"nproc={options.workers}", "output.log=d.log"]
            _, dials = first_and_best(command, folder, 1, dials_environment(options.dials))
            n_dials = int(re.findall(r"Saved (\d+) reflections", dials.text)[0])
            print(
                f"dials.find_spots: {dials.wall:.2f} s wall, {dials.processor:.2f} s processor, "
                f"{1e3 * dials.wall / options.frames:.1f} ms/frame, {dials.memory:.0f} MB, {n_dials} spots; ratio "
                f"{dials.wall / best.wall:.1f} wall, {dials.processor / best.processor:.1f} processor"
            )


if __name__ == "__main__":
    main()
