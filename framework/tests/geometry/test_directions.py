"""Directions spread over a hemisphere."""

from __future__ import annotations

import numpy as np
import pytest

from spindle.geometry import hemisphere


def test_directions_cover_the_hemisphere_evenly():
    directions = hemisphere(0.02)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1)
    assert directions[:, 2].min() > -1e-12
    assert len(directions) == pytest.approx(2 * np.pi / 0.02**2, rel=0.02)
    sample = np.random.default_rng(0).normal(size=(200, 3))
    sample /= np.linalg.norm(sample, axis=1)[:, None]
    nearest = np.arccos(np.clip(np.abs(sample @ directions.T).max(axis=1), -1, 1))
    assert nearest.max() < 0.02


@pytest.mark.parametrize(("step", "number"), [(0.029, 7557), (0.014, 32227)])
def test_as_many_directions_as_the_published_grid(step, number):
    """Counts of rstbx for these steps."""
    assert len(hemisphere(step)) == number
