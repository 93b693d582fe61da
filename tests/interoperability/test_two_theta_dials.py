"""Cells that DIALS 3.12 refines against 2theta of the same reflections. Skipped without DIALS."""

from __future__ import annotations

import json

import numpy as np
import pytest
from spindle_program_two_theta_refine import workflow

import spindle
from spindle.files import read_experiments, read_reflections
from spindle.testing import shared_data
from spindle.testing.dials import dials


@pytest.mark.parametrize("names", [("quartz_processed/integrated",), ("l_cysteine_narrow_wedge/11_integrated", "l_cysteine_narrow_wedge/23_integrated")])  # fmt: skip
def test_cells_and_deviations_are_the_same(names, tmp_path, monkeypatch):
    """But for the deviation of the volume, which DIALS propagates otherwise: see the room's README.

    Of several crystals DIALS gives the cell that fits all reflections, from which ours goes on to the mean over crystals.
    """
    monkeypatch.setattr(workflow, "mean_of_crystals", lambda fit, *_: (fit, None))
    folder = shared_data("dials_processed")
    files = [folder / f"{name}.{kind}" for kind in ("expt", "refl") for name in names]
    dials("dials.two_theta_refine", *files, cwd=tmp_path)
    theirs = json.loads((tmp_path / "refined_cell.expt").read_text())["crystal"][0]
    experiments = [e for name in names for e in read_experiments(folder / f"{name}.expt")]
    tables = [read_reflections(folder / f"{name}.refl") for name in names]
    result = spindle.run("two_theta_refine", type(read_experiments(files[0]))(experiments), tables)
    crystal = result.experiments[0].crystal
    np.testing.assert_allclose(crystal.extra["recalculated_unit_cell"], theirs["recalculated_unit_cell"], rtol=2e-7)
    # DIALS leaves the damping of its last step in the covariance
    np.testing.assert_allclose(crystal.cell_sd, theirs["recalculated_cell_parameter_sd"], rtol=5e-3, atol=1e-9)
