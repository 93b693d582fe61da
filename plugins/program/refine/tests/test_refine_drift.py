"""A crystal that turns and grows during the scan: its states are found as exactly as their errors say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from spindle_program_refine.outputs import axis_text
from spindle_refiner_centroid import CentroidRefiner

from spindle.geometry import rotation_matrix
from spindle.models import Crystal, Experiments
from spindle.testing import make_context
from spindle.testing.refiner import disturbed, rotation_experiment
from spindle_lib_refinement.testing import DriftingCrystal, plain_settings, pulls_of_orientation, pulls_of_volume

NOISE = np.array([0.1, 0.1, 0.08])
N_IMAGES = 90


@pytest.mark.parametrize(
    ("cell", "group", "swing_deg", "growth"),
    [
        ((58.0, 58, 41, 90, 90, 90), "P 4", 0.01, 3e-4),
        ((57.0, 57, 57, 90, 90, 90), "P 21 3", 0.2, 3e-3),
    ],
)
def test_states_lie_within_three_errors_of_the_truth(
    cell: tuple[float, ...], group: str, swing_deg: float, growth: float
) -> None:
    turned, cells = [], []
    for seed in (1, 2):
        crystal = Crystal.from_cell(cell, rotation_matrix(np.array([0.6, 0.0, 0.8]), 0.7 + seed), group)
        experiment = replace(rotation_experiment(N_IMAGES), crystal=crystal)
        drift = DriftingCrystal(crystal, seed, swing_deg, growth, N_IMAGES)
        table = drift.spots(experiment, 3.4, NOISE, seed)
        refiner = CentroidRefiner(None, make_context())
        settings = plain_settings(parameterisation__set_scan_varying_errors=True)
        static = refiner.refine(Experiments([disturbed(experiment)]), table, settings, False, "refinement")
        result = refiner.refine(static.experiments, static.reflections, settings, True, "refinement")
        assert result.reduced_chi_squared == pytest.approx(1.04, abs=0.05)
        # The angle between beam and axis (x), which drifting crystals hide.
        esd = dict(zip(result.parameter_names, result.parameter_esds, strict=True))["Beam1Mu2"]
        s0, true_s0 = result.experiments[0].beam.s0, experiment.beam.s0
        assert abs(s0[0] / np.linalg.norm(s0) - true_s0[0] / np.linalg.norm(true_s0)) < 3e-3 * esd
        told = axis_text(result)
        assert (f"known to {np.degrees(1e-3 * esd):.2g} deg" in told) == (np.degrees(1e-3 * esd) > 0.01)
        assert axis_text(static) == ""
        turned.append(pulls_of_orientation(result, drift))
        cells.append(pulls_of_volume(result, drift))
    for pulls in (np.concatenate(turned), np.concatenate(cells)):
        assert np.mean(np.abs(pulls) < 3) >= 0.99
        assert np.sqrt(np.mean(pulls**2)) < 1.6


def test_narrow_scans_leave_detectors_where_constant_crystals_told() -> None:
    """Twelve degrees of a crystal that hardly drifts fit as well with a detector that is turned by degrees."""
    cell, off = (31.0, 38.0, 45.0, 82.0, 86.0, 97.0), []
    for seed in (1, 2, 3, 4):
        crystal = Crystal.from_cell(cell, rotation_matrix(np.array([0.6, 0.0, 0.8]), 0.7 + seed), "P 1")
        experiment = replace(rotation_experiment(12), crystal=crystal)
        table = DriftingCrystal(crystal, seed, 0.005, 0.0, 12).spots(experiment, 3.0, NOISE, seed)
        refiner, settings = CentroidRefiner(None, make_context()), plain_settings()
        static = refiner.refine(Experiments([disturbed(experiment)]), table, settings, False, "refinement")
        result = refiner.refine(static.experiments, static.reflections, settings, True, "refinement")
        normal_turns = [
            np.degrees(np.arctan2(*np.array(e.detector.panels[0].fast_axis)[1::-1]))
            for e in (result.experiments[0], experiment)
        ]
        off.append(normal_turns[0] - normal_turns[1])
    # 0.01 degrees over 12 feign 0.05 degrees
    assert np.sqrt(np.mean(np.square(off))) < 0.15, off
