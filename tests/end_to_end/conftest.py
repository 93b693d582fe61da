"""Files that several tests of whole runs begin from."""

from __future__ import annotations

import pytest

import spindle
from spindle.files import write_experiments, write_reflections
from spindle.testing.simulated import simulate_sweep


@pytest.fixture(scope="session")
def run_files(tmp_path_factory):
    """The files of every step of a small sweep."""
    folder = tmp_path_factory.mktemp("run")
    sweep = simulate_sweep(folder / "images", scan__n_images=12, structure__mean_counts=300.0)
    result = spindle.run("import", files=sweep.images)
    steps = [("find_spots", "strong"), ("index", "indexed"), ("refine", "refined"), ("integrate", "integrated"),
             ("symmetry", "symmetrized"), ("scale", "scaled")]  # fmt: skip
    write_experiments(result.experiments, folder / "imported.expt")
    for program, name in steps:
        result = spindle.run(program, result.experiments, result.reflections)
        write_experiments(result.experiments, folder / f"{name}.expt")
        write_reflections(result.reflections, folder / f"{name}.refl")
    return folder
