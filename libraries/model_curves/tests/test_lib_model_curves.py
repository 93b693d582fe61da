"""Curves against models that were made to vary in a known way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spindle.errors import UserError
from spindle.geometry import rotation_matrix
from spindle.models import Crystal
from spindle.testing.refinement_problems import rotation_experiment
from spindle_lib_model_curves.curves import beam_curves, cell_curves, turn_curves


def growing(n=10):
    """The crystal turns about x by 0.5 degrees while a grows by a hundredth."""
    sweep = rotation_experiment(n)
    matrices = [
        rotation_matrix(np.array([1.0, 0, 0]), np.radians(0.5) * t)
        @ sweep.crystal.U
        @ Crystal.from_cell((58 * (1 + 0.01 * t), 58, 41, 90, 90, 90), None, "P 1").B
        for t in np.linspace(0, 1, n + 1)
    ]
    return replace(sweep, crystal=replace(sweep.crystal, A_at_scan_points=np.array(matrices)))


def test_curves_are_those_of_the_models():
    cell = cell_curves(growing(), 3)
    assert cell.number == 3 and len(cell.phi) == 11
    np.testing.assert_allclose(cell.values[:, 0], 58 * (1 + 0.01 * np.linspace(0, 1, 11)))
    np.testing.assert_allclose(cell.values[-1, 6], 58 * 1.01 * 58 * 41)
    turn = turn_curves(growing(), 0, np.eye(3))
    np.testing.assert_allclose(turn.values[:, 0] - turn.values[0, 0], 0.5 * np.linspace(0, 1, 11), atol=1e-9)


def test_static_models_have_no_curves():
    sweep = rotation_experiment(5)
    assert cell_curves(sweep, 0) is None and turn_curves(sweep, 0, np.eye(3)) is None and beam_curves(sweep, 0) is None


def test_a_wrong_number_of_points_is_refused():
    sweep = growing()
    wrong = replace(sweep, crystal=replace(sweep.crystal, A_at_scan_points=sweep.crystal.A_at_scan_points[:-2]))
    with pytest.raises(UserError, match="9 scan points"):
        cell_curves(wrong, 0)
