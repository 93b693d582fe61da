"""Coordinates of pixels in the frame of a spot."""

from __future__ import annotations

import numpy as np

import spindle_lib_spot_frames
from spindle_lib_spot_frames import in_frame, in_frame_with_slopes


def test_everything_public_is_described():
    for name in spindle_lib_spot_frames.__all__:
        assert getattr(spindle_lib_spot_frames, name).__doc__, name


def test_coordinates_are_projections_of_the_direction_and_slopes_their_derivatives():
    rng = np.random.default_rng(2)
    frame = np.concatenate([rng.normal(size=6), [0.17, 0.01, 0.02], [-0.01, 0.17, 0.03], [-30.0, 12.0, 100.0]])
    e, f, s, o = frame[:6].reshape(2, 3), frame[6:9], frame[9:12], frame[12:]
    x, y, h = 31.3, 55.9, 1e-4

    def direct(x, y):
        v = f * x + s * y + o
        return e @ v / np.linalg.norm(v)

    np.testing.assert_allclose(in_frame(frame, x, y), direct(x, y), rtol=1e-13)
    slopes = [(direct(x + h, y) - direct(x - h, y)) / (2 * h), (direct(x, y + h) - direct(x, y - h)) / (2 * h)]
    found = in_frame_with_slopes(frame, x, y)
    assert found[:2] == in_frame(frame, x, y)
    np.testing.assert_allclose(found[2:], np.array(slopes).T.ravel(), rtol=1e-6)
