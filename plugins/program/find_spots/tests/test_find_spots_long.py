"""`spindle find_spots` on long series and on mixed ones: memory, and sweeps beside stills."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import spindle
from spindle_lib_readers.testing.mini_cbf import mini_cbf_header, write_mini_cbf
from spindle_lib_readers.testing.nexus import write_nxmx

h5py = pytest.importorskip("h5py")
SHAPE = (128, 130)


def spotted(i: int, seed: int = 1) -> np.ndarray:
    """An image with one spot of known place, different on each."""
    image = np.random.default_rng(seed + i).poisson(0.5, SHAPE)
    y = 20 + 17 * i % 90
    image[y : y + 3, 40:43] += 60
    image[y + 1, 41] += 100
    return image


def long_series(path, n):
    """An NXmx file of n images; the stored chunks of twenty are written again and again."""
    frames = np.array([spotted(i) for i in range(20)], np.uint16)
    write_nxmx(path, frames, 0.01 * np.arange(n), maxshape=(None, *SHAPE), compression="gzip")
    with h5py.File(path, "r+") as file:
        data = file["entry/data/data"]
        data.resize(n, axis=0)
        for i in range(20, n):
            data.id.write_direct_chunk((i, 0, 0), data.id.read_direct_chunk((i % 20, 0, 0))[1])
    return path


def test_memory_does_not_grow_with_the_number_of_images(tmp_path):
    peaks, found = [], []
    for n in (20, 200, 1200):
        experiments = spindle.run("import", files=[long_series(tmp_path / f"{n}.h5", n)]).experiments
        tracemalloc.start()
        result = spindle.run("find_spots", experiments, **{"spotfinder.mp.nproc": 2})
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        found.append(len(result.reflections))
    assert 0.9 < found[2] / found[1] / 6 < 1.1
    # A thousand images more: 66 MB of pixels, some kilobytes of spots and counts each.
    assert peaks[2] - peaks[1] < 4e6, peaks


def test_sweeps_of_several_formats_and_stills_in_one_run(tmp_path):
    sweep = long_series(tmp_path / "sweep.h5", 25)
    header = mini_cbf_header(Angle_increment="0.1 deg.")
    rows = [line for line in header if "Start_angle" not in line]
    cbf = [
        write_mini_cbf(tmp_path / f"other_{i + 1:03d}.cbf", spotted(i), [*rows, f"# Start_angle {i / 10} deg."])
        for i in range(8)
    ]
    still = mini_cbf_header(Angle_increment="0.0 deg.")
    stills = [write_mini_cbf(tmp_path / f"still_{i + 1:03d}.cbf", spotted(i), still) for i in range(3)]
    experiments = spindle.run("import", files=[sweep, *cbf, *stills]).experiments
    kinds = [1 if e.is_still else e.scan.n_images for e in experiments]
    assert sorted(kinds) == [1, 1, 1, 8, 25]
    table = spindle.run("find_spots", experiments).reflections
    alone = [len(spindle.run("find_spots", experiments[k : k + 1]).reflections) for k in range(len(experiments))]
    assert np.bincount(table["id"], minlength=len(kinds)).tolist() == alone
    assert min(alone) > 0
