"""The programs of the chain that take seconds, in the contract that strangers' programs have to pass.

Not `process`: the files of its steps and their times are its result.
"""

from __future__ import annotations

import pytest

import spindle
from spindle.contracts import ProgramInputs
from spindle.testing.program import ProgramContract
from spindle.testing.simulated import simulate_sweep

SET = {
    "crystal__unit_cell": (11.0, 13.0, 17.0, 90.0, 90.0, 90.0),
    "crystal__space_group": "P 21 21 21",
    "structure__b_factor": 4.0,
    "structure__mean_counts": 600.0,
    "structure__d_min": 1.0,
    "beam__wavelength": 0.7,
    "scan__n_images": 15,
    "detector__model": "custom",
    "detector__image_size": (300, 320),
    "detector__distance": 35.0,
}


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
    """The images, their folder, and what each step makes of them."""
    folder = tmp_path_factory.mktemp("sweep")
    found = {"images": simulate_sweep(folder, **SET).images, "folder": folder}
    result = found["import"] = spindle.run("import", files=found["images"])
    for program in ("find_spots", "index", "refine", "integrate"):
        result = found[program] = spindle.run(program, result.experiments, result.reflections)
    return found


class _AfterStep(ProgramContract):
    after = ""

    @pytest.fixture
    def inputs(self, steps):
        given = steps[self.after]
        experiments = steps["import"].experiments if given.experiments is None else given.experiments
        return ProgramInputs(experiments=experiments, reflections=[given.reflections])


class TestIndex(_AfterStep):
    name, after = "index", "find_spots"


class TestIntegrate(_AfterStep):
    name, after = "integrate", "refine"


class TestCheckTruth(ProgramContract):
    name = "check_truth"

    @pytest.fixture
    def inputs(self, steps):
        done = steps["integrate"]
        return ProgramInputs(experiments=done.experiments, reflections=[done.reflections], files=[steps["folder"]])
