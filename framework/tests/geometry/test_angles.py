"""Angles modulo a full turn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spindle.geometry.angles import image_width, nearest_turn, unwrapped


@given(
    start=st.floats(-720, 720),
    step=st.floats(-170, 170),
    low=st.sampled_from([0.0, -180.0, -360.0, -7.5]),
    n=st.integers(1, 60),
)
def test_a_sweep_is_a_straight_line_wherever_it_is_cut(start, step, low, n):
    line = start + step * np.arange(n)
    cut = (line - low) % 360.0 + low
    assert np.allclose(unwrapped(cut) - cut[0], line - line[0], atol=1e-6)


def test_steps_beyond_half_a_turn_are_followed_when_they_are_known():
    line = 10.0 + 300.0 * np.arange(8)
    assert np.allclose(unwrapped(line % 360.0, 300.0), line)
    assert unwrapped([], 1.0).shape == (0,) and unwrapped([5.0]).tolist() == [5.0]


def test_angles_without_a_jump_stay_as_they_are_to_the_last_bit():
    angles = 0.1 + np.arange(100) * 0.1
    assert np.array_equal(unwrapped(angles), angles)


@pytest.mark.parametrize(
    ("start", "end", "width"),
    [(359.5, 0.0, 0.5), (0.0, 359.5, -0.5), (179.9, -179.6, 0.5), (359.9, 360.4, 0.5), (10, 11, 1), (0, 360, 360), (5, 5, 0)],
)  # fmt: skip
def test_width_of_an_image_from_its_ends(start, end, width):
    assert image_width(start, end) == pytest.approx(width)


def test_widths_of_a_sweep_that_reaches_zero():
    assert np.allclose(image_width([359.0, 359.5, 0.0], [359.5, 0.0, 0.5]), 0.5)


def test_nearest_turn():
    assert nearest_turn(359.5) == -0.5 and nearest_turn(0.5, 720.0) == 720.5
    assert np.allclose(nearest_turn([179.0, 181.0]), [179.0, -179.0])
