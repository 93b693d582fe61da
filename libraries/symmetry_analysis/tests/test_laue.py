"""Scores of symmetry operations and normalised intensities."""

from __future__ import annotations

import pytest

from spindle_lib_symmetry_analysis.laue import likelihoods


def test_operator_scores_follow_the_published_formula():
    """The l-cysteine example of DIALS: CC and expectation give these likelihoods (1e-3)."""
    present, absent = likelihoods(0.98, 0.1, 1.0)
    assert present / (present + absent) == pytest.approx(0.938, abs=5e-3)
