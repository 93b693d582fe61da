"""Auto says what it chose, and chooses by the detector."""

from __future__ import annotations

import dataclasses
import logging

import numpy as np
import pytest

from spindle.errors import UserError
from spindle.models import Detector
from spindle.testing import make_context
from spindle.testing.background import flat_shoeboxes, pixel_detector


def detector(**changes):
    return Detector((dataclasses.replace(pixel_detector()[0], **changes),))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "glm"),
        ({"gain": 2.0}, "simple"),
        ({"type": "SENSOR_CCD"}, "simple"),
        ({"type": "SENSOR_UNKNOWN"}, "simple"),
    ],
)
def test_model_follows_the_kind_of_detector(changes, expected, caplog):
    context = make_context()
    shoeboxes = flat_shoeboxes(20)
    with caplog.at_level(logging.INFO):
        result = context.algorithm("background", "Auto").estimate_background(shoeboxes, detector(**changes))
    assert f"Auto chose {expected}" in caplog.text
    direct = context.algorithm("background", expected).estimate_background(shoeboxes, None)
    assert np.array_equal(result.background, direct.background)


def test_without_a_detector_it_says_what_to_do():
    with pytest.raises(UserError, match="name a model"):
        make_context().algorithm("background", "Auto").estimate_background(flat_shoeboxes(2), None)
