"""An image of the background is scaled to each reflection; where there is none it is made from the images."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from spindle.errors import ParameterError
from spindle.models import ImageSet
from spindle.params import make
from spindle.table import MaskCode
from spindle.testing import make_context
from spindle.testing.background import BackgroundContract, pixel_detector
from spindle.testing.background_images import boxes_of_images, ringed_background, ringed_experiment, ringed_images
from spindle_lib_background_images.files import BackgroundImages, write_models


class TestGmodelBackground(BackgroundContract):
    name = "gmodel"


class TestGmodelWithWeights(BackgroundContract):
    name = "gmodel"
    parameters = {"robust.algorithm": True}


def gmodel(**values):
    context = make_context()
    kind = context.host.load("background", "gmodel").Params
    return context.algorithm("background", "gmodel", make(kind, **values))


@pytest.fixture(scope="module")
def ringed():
    experiment = ringed_experiment(pixel_detector(), 8)
    expected = ringed_background(experiment)
    return experiment, expected, ringed_images(experiment, expected)


def ratio_under_spots(boxes, result):
    spot = (boxes.mask & MaskCode.FOREGROUND) != 0
    return boxes.data[spot].sum() / result.background[spot].sum()


def of_file(folder, experiment, images, scales=None, names=("a",)):
    n = len(names)
    write_models(
        folder / "model.npz",
        [BackgroundImages(name, (images,), 0, np.zeros(0) if scales is None else scales) for name in names[:n]],
    )
    return gmodel(model=str(folder / "model.npz"))


@pytest.mark.parametrize("robust", [False, True])
def test_a_known_image_is_scaled(tmp_path, ringed, robust):
    experiment, expected, images = ringed
    write_models(tmp_path / "model.npz", [BackgroundImages("a", (expected.astype(np.float32) / 5,), 0, np.zeros(0))])
    plugin = gmodel(model=str(tmp_path / "model.npz"), **{"robust.algorithm": robust})
    learner = plugin.make_background_learner(experiment=experiment)
    assert learner.most_images == 0
    boxes = boxes_of_images(images, 600)
    result = plugin.estimate_background(boxes, experiment.detector, learner.finish())
    spot = (boxes.mask & MaskCode.FOREGROUND) != 0
    box = np.repeat(np.arange(600), np.diff(boxes.offsets))[spot]
    m = np.bincount(box)
    missed = np.bincount(box, boxes.data[spot] - result.background[spot])
    z = missed / np.sqrt(np.bincount(box, result.background[spot]) + m**2 * result.mean_variance)
    assert z.std() == pytest.approx(1.0, abs=0.08)
    assert ratio_under_spots(boxes, result) == pytest.approx(1.0, abs=0.005)


def test_scales_of_images_make_their_slices_differ(tmp_path, ringed):
    experiment, expected, _ = ringed
    scales = np.linspace(1.0, 2.0, 8)
    plugin = of_file(tmp_path, experiment, expected.astype(np.float32), scales)
    images = np.float32(expected) * np.float32(scales[:, None, None])
    boxes = boxes_of_images(images, 20)
    result = plugin.estimate_background(
        boxes, experiment.detector, plugin.make_background_learner(experiment=experiment).finish()
    )
    assert np.allclose(result.background, boxes.data, rtol=1e-4)


def test_without_a_file_the_images_make_one(ringed):
    experiment, expected, images = ringed
    plugin = gmodel()
    learner = plugin.make_background_learner(experiment=experiment)
    for z, image in enumerate(images):
        learner.add_image(z, [image], [np.ones(image.shape, bool)])
    learned = learner.finish()
    assert np.median(np.abs(learned.images[0] / expected - 1)) < 0.05
    boxes = boxes_of_images(images, 300)
    result = plugin.estimate_background(boxes, experiment.detector, learned)
    assert ratio_under_spots(boxes, result) == pytest.approx(1.0, abs=0.01)


def test_the_model_of_the_images_is_taken_by_their_name(tmp_path, ringed):
    experiment, expected, _ = ringed
    images = ImageSet(template="/data/b_####.cbf", image_range=(1, 8))
    named = dataclasses.replace(experiment, imageset=images)
    plugin = of_file(tmp_path, experiment, expected.astype(np.float32), names=("a_####.cbf", "b_####.cbf"))
    assert plugin.make_background_learner(experiment=named).finish().name == "b_####.cbf"
    other = dataclasses.replace(named, imageset=dataclasses.replace(images, template="/data/c_####.cbf"))
    with pytest.raises(ParameterError, match=r"none of c_####.cbf; make one"):
        plugin.make_background_learner(experiment=other)


def test_a_model_of_another_detector_is_refused(tmp_path, ringed):
    experiment = ringed[0]
    plugin = of_file(tmp_path, experiment, np.ones((30, 40), np.float32))
    with pytest.raises(ParameterError, match=r"its images have the sizes \[\(30, 40\)\]"):
        plugin.make_background_learner(experiment=experiment)
