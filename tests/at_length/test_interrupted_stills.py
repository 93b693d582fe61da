"""Stills that are interrupted and killed half way: what was finished is taken up, and the end is that of a run in one piece."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import spindle
from spindle.files import read_experiments, read_reflections
from spindle.testing.simulated import simulate_sweep

N = 4
SETTINGS = {
    "unit_cell": (38.0, 46.0, 57.0, 90.0, 90.0, 90.0),
    "space_group": "P 21 21 21",
    "images_per_task": 1,
    "output.crystals_per_part": 2,
}
WORDS = [
    "unit_cell=38,46,57,90,90,90",
    "space_group=P 21 21 21",
    "images_per_task=1",
    "mp.method=serial",
    "output.crystals_per_part=2",
]


def command(truth, folder):
    words = [sys.executable, "-m", "spindle", "stills_process", *map(str, truth.images), *WORDS]
    # as from a shell, where Ctrl-C is not ignored
    return subprocess.Popen(
        words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip


def stopped(truth, folder, number, stage):
    """A run that gets a signal when a part is there; what it said."""
    run = command(truth, folder)
    part, end = folder / "stills_process.parts" / f"{stage}.json", time.monotonic() + 300
    while not part.exists() and run.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    os.kill(run.pid, number)
    text = run.communicate(timeout=300)[0]
    assert run.returncode == (130 if number == signal.SIGINT else -number), text
    assert "Traceback" not in text
    assert part.exists() and not (folder / "integrated.refl").exists()
    return text


@pytest.mark.long
def test_a_stopped_run_goes_on_from_what_is_finished(tmp_path):
    truth = simulate_sweep(
        tmp_path / "images", scan__stills=True, scan__n_images=N, crystal__mosaic_spread=0.15,
        structure__mean_counts=200.0, structure__d_min=2.4, run__seed=3,
    )  # fmt: skip
    folder = tmp_path / "run"
    folder.mkdir()
    stopped(truth, folder, signal.SIGINT, "spots_and_lattices_00000")
    kept = len(list((folder / "stills_process.parts").glob("spots_and_lattices_*.json")))
    text = stopped(truth, folder, signal.SIGKILL, "integrated_00000")
    assert f"{kept} of {N} parts were taken from stills_process.parts" in text
    again = command(truth, folder)
    text = again.communicate(timeout=300)[0]
    assert again.returncode == 0, text
    assert f"{N} of {N} parts were taken from stills_process.parts" in text
    assert not (folder / "stills_process.parts").exists()
    found, models = read_reflections(folder / "integrated.refl"), read_experiments(folder / "integrated.expt")
    whole = spindle.run("stills_process", files=truth.images, **SETTINGS)
    assert [e.image_name for e in models] == [e.image_name for e in whole.experiments]
    for name in ("id", "miller_index"):
        assert np.array_equal(found[name], whole.reflections[name]), name
    for name in ("intensity.sum.value", "intensity.sum.variance"):
        np.testing.assert_allclose(found[name], whole.reflections[name], rtol=1e-6, atol=1e-9)
    # the search for the width of rocking curves ends within its tolerance
    np.testing.assert_allclose(found["partiality"], whole.reflections["partiality"], atol=2e-5)
