"""A crystal that hardly drifts is not taken for one that sways with a turned detector, and the errors told say so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from spindle_refiner_centroid import CentroidRefiner
from spindle_refiner_centroid.drift_limit import drift_information
from spindle_refiner_centroid.problem import Problem

from spindle.geometry import rotation_matrix
from spindle.models import Crystal, Experiments, Scan
from spindle.testing import make_context
from spindle.testing.refiner import disturbed, rotation_experiment
from spindle_lib_refinement.testing import (
    DriftingCrystal,
    plain_settings,
    pulls_of_orientation,
    turns_of_orientation,
)

N_IMAGES = 240
CRYSTAL = Crystal.from_cell((58.0, 58, 41, 90, 90, 90), rotation_matrix(np.array([0.6, 0.0, 0.8]), 11.7), "P 4")
EXPERIMENT = replace(rotation_experiment(N_IMAGES), crystal=CRYSTAL, scan=Scan((1, N_IMAGES), (0.0, 0.25)))


def test_fine_slices_tell_orientations_as_exactly_as_is_said() -> None:
    """A drift of 0.003 degrees over 60; detector and crystals would turn by 0.9 degrees together if spots alone decided."""
    drift = DriftingCrystal(CRYSTAL, 11, 0.003, 0.0, N_IMAGES)
    table = drift.recorded(EXPERIMENT, 3.4, 0.1, 300.0, 11)
    refiner = CentroidRefiner(None, make_context())
    static = refiner.refine(Experiments([disturbed(EXPERIMENT)]), table, plain_settings(), False, "refinement")
    result = refiner.refine(static.experiments, table, plain_settings(), True, "refinement")
    assert np.abs(turns_of_orientation(result, drift)).max() < 0.02
    assert np.abs(pulls_of_orientation(result, drift)).max() < 3
    told = dict(zip(result.parameter_names, result.parameter_esds, strict=True))
    assert told["Detector1Tau1"] < np.radians(0.02) * 1e3  # milliradians; 4.4 from spots alone


def test_information_is_half_a_unit_for_a_sway_of_the_size_found() -> None:
    problem = Problem(Experiments([EXPERIMENT]), plain_settings(), True, False, {"orientation": 15.0, "cell": np.inf})
    names = problem.all_names
    rows = [names.index(n) for n in names if n.startswith("Crystal1Phi2_")]
    x = problem.x0
    sway = np.sin(np.arange(len(rows))) - np.sin(np.arange(len(rows))).mean()
    x[problem.number[rows]] = 5.0 + sway
    information = drift_information(problem, x)
    assert np.flatnonzero(information.any(axis=0)).tolist() == sorted(problem.number[rows].tolist())
    along = np.zeros(len(x))
    along[problem.number[rows]] = sway
    assert along @ information @ along == pytest.approx(0.5)
    along[problem.number[rows]] = 1.0  # turned as a whole
    assert along @ information @ along == pytest.approx(0.0, abs=1e-9)
    constant = Problem(Experiments([EXPERIMENT]), plain_settings(), False, False)
    assert not drift_information(constant, constant.x0).any()
