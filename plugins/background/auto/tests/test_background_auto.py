"""Auto says what it chose, and chooses by the detector and by what models predict."""

from __future__ import annotations

import dataclasses
import logging

import numpy as np
import pytest

from spindle.errors import UserError
from spindle.models import Detector
from spindle.testing import make_context
from spindle.testing.background import flat_shoeboxes, pixel_detector
from spindle.testing.background_images import boxes_of_images, ringed_background, ringed_experiment, ringed_images


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


def learn(experiment, images, caplog):
    plugin = make_context().algorithm("background", "Auto")
    learner = plugin.make_background_learner(experiment=experiment)
    for z, image in enumerate(images):
        learner.add_image(z, [image], [np.ones(image.shape, bool)])
    with caplog.at_level(logging.INFO):
        learned = learner.finish()
    return plugin, learned, learner


def test_rings_call_for_the_model_that_knows_them(caplog):
    experiment = ringed_experiment(pixel_detector())
    images = ringed_images(experiment, ringed_background(experiment))
    plugin, learned, learner = learn(experiment, images, caplog)
    assert "Auto chose radial because the background depends on resolution" in caplog.text
    boxes = boxes_of_images(images, 50)
    radial = make_context().algorithm("background", "radial")
    assert np.array_equal(
        plugin.estimate_background(boxes, experiment.detector, learned).background,
        radial.estimate_background(boxes, experiment.detector, learned.learned).background,
    )
    assert "rms of (found - predicted)" in learner.tables()[0].title


@pytest.mark.parametrize(("changes", "expected"), [({}, "glm"), ({"type": "SENSOR_CCD"}, "simple")])
def test_without_rings_the_kind_of_detector_decides(changes, expected, caplog):
    experiment = ringed_experiment(detector(**changes))
    images = ringed_images(experiment, ringed_background(experiment, level=0.3, ring=0.0))
    _, learned, _ = learn(experiment, images, caplog)
    assert learned.name == expected
    assert f"Auto chose {expected}" in caplog.text and "no rings are in the way" in caplog.text


def test_the_same_choice_for_other_images_is_a_detail(caplog):
    experiment = ringed_experiment(pixel_detector())
    plugin = make_context().algorithm("background", "Auto")
    levels = []
    for ring in (0.0, 0.0, 3.0):
        learner = plugin.make_background_learner(experiment=experiment)
        for z, image in enumerate(ringed_images(experiment, ringed_background(experiment, ring=ring))):
            learner.add_image(z, [image], [np.ones(image.shape, bool)])
        with caplog.at_level(logging.INFO):
            levels.append(learner.finish().name)
    said = [(r.args[0], getattr(r, "detail", False)) for r in caplog.records if "Auto chose" in r.msg]
    assert levels == ["glm", "glm", "radial"] and said == [("glm", False), ("glm", True), ("radial", False)]


def test_weak_rings_of_a_weak_background_are_seen(caplog):
    experiment = ringed_experiment(pixel_detector(), 24)
    images = ringed_images(experiment, ringed_background(experiment, level=0.05, ring=2.0))
    assert learn(experiment, images, caplog)[1].name == "radial"
