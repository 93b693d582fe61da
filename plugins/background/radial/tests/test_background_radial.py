"""A ring under a spot is predicted from the pixels around it; without rings it is a robust mean."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from spindle_background_radial.kernels import smooth_as_far_as_it_goes
from spindle_background_radial.learner import RadialLearner, split
from spindle_background_radial.place_kernels import pixels_of_bins, slopes
from spindle_background_radial.shape import pixel_coordinates

from spindle.models import Detector, Experiment
from spindle.table import MaskCode
from spindle.testing import make_context
from spindle.testing.background import BackgroundContract, flat_shoeboxes, pixel_detector
from spindle.testing.background_images import boxes_of_images, ringed_background, ringed_experiment, ringed_images


class TestRadialBackground(BackgroundContract):
    name = "radial"


@pytest.fixture(scope="module")
def radial():
    return make_context().algorithm("background", "radial")


def taught(plugin, experiment: Experiment, images, free=None):
    learner = plugin.make_background_learner(experiment=experiment)
    for z, image in enumerate(images):
        learner.add_image(z, [image], [np.ones(image.shape, bool) if free is None else free[z]])
    return learner.finish(), learner


def held_out_z(boxes, estimate):
    """(found - predicted) / expected sigma of the counts under each spot, and the ratio of their sums."""
    spot = (boxes.mask & MaskCode.FOREGROUND) != 0
    box = np.repeat(np.arange(len(boxes)), np.diff(boxes.offsets))[spot]
    m = np.bincount(box)
    found, expected = np.bincount(box, boxes.data[spot]), np.bincount(box, estimate.background[spot])
    return (found - expected) / np.sqrt(expected + m**2 * estimate.mean_variance), found.sum() / expected.sum()


@pytest.fixture(scope="module")
def ringed():
    experiment = ringed_experiment(pixel_detector(), 8)
    expected = ringed_background(experiment)
    return experiment, expected, ringed_images(experiment, expected)


def test_counts_under_a_ring_are_predicted_within_their_noise(radial, ringed):
    experiment, expected, images = ringed
    learned, learner = taught(radial, experiment, images)
    other = ringed_images(experiment, expected, seed=5)
    boxes = boxes_of_images(other, 1500)
    nx = experiment.detector[0].image_size[0]
    z, ratio = held_out_z(boxes, radial.estimate_background(boxes, experiment.detector, learned))
    x, y = boxes.bbox[:, 0] + 6, boxes.bbox[:, 2] + 6
    near = expected.ravel()[y * nx + x] > 1.5 * np.median(expected)
    assert near.sum() > 15
    assert z.std() == pytest.approx(1.0, abs=0.06)
    assert np.sqrt(np.mean(z[near] ** 2)) < 1.25
    assert ratio == pytest.approx(1.0, abs=0.005)
    flat = radial.estimate_background(boxes, experiment.detector)
    assert np.sqrt(np.mean(held_out_z(boxes, flat)[0][near] ** 2)) > 3.0  # what a mean of the surroundings gives
    (table,) = learner.tables()
    assert len(table.rows) == 1


def test_rings_that_are_weaker_than_learned_are_scaled(radial, ringed):
    experiment, _, images = ringed
    learned, _ = taught(radial, experiment, images)
    weaker = ringed_images(experiment, 2.0 * ringed_background(experiment, ring=3.5), seed=6)
    boxes = boxes_of_images(weaker, 1000)
    z, ratio = held_out_z(boxes, radial.estimate_background(boxes, experiment.detector, learned))
    assert z.std() == pytest.approx(1.0, abs=0.1)
    assert ratio == pytest.approx(1.0, abs=0.005)


def test_alien_spots_in_the_images_do_not_matter(radial, ringed):
    experiment, _, images = ringed
    clean, _ = taught(radial, experiment, images)
    dirty = images.copy()
    bright = np.random.default_rng(2).random(images.shape[1:]) < 0.003
    dirty[3][bright] += 150
    learned, _ = taught(radial, experiment, dirty)
    assert np.allclose(learned.smooth + learned.sharp, clean.smooth + clean.sharp, rtol=0.05, atol=0.02)


def test_two_panels_have_one_curve(radial):
    whole = pixel_detector()[0]
    half = dataclasses.replace(whole, image_size=(487, 300))
    low = dataclasses.replace(whole, image_size=(487, 319), name="low", origin=whole.origin + [0, -300 * 0.172, 0])
    one = ringed_experiment(Detector((whole,)), 4)
    two = ringed_experiment(Detector((half, low)), 4)
    images = ringed_images(one, ringed_background(one))
    learner = radial.make_background_learner(experiment=two)
    for z, image in enumerate(images):
        parts = [np.ascontiguousarray(image[:300]), np.ascontiguousarray(image[300:])]
        learner.add_image(z, parts, [np.ones(p.shape, bool) for p in parts])
    learned = learner.finish()
    known, _ = taught(radial, one, images)
    curve, other = learned.smooth + learned.sharp, known.smooth + known.sharp
    away = np.abs(curve - other)[other > 0] / other[other > 0]
    assert np.median(away) < 0.01 and np.quantile(away, 0.95) < 0.03


def test_values_that_are_no_counts_are_fitted_by_least_squares(radial, ringed):
    experiment, _, images = ringed
    learned, _ = taught(radial, experiment, images)
    boxes = boxes_of_images(images, 200)
    spot = (boxes.mask & MaskCode.FOREGROUND) != 0
    boxes.data[:] += np.random.default_rng(3).normal(0.0, 1.0, len(boxes.data))
    assert (boxes.data < 0).any()
    result = radial.estimate_background(boxes, experiment.detector, learned)
    assert result.success.all()
    assert result.background[spot].mean() == pytest.approx(boxes.data[spot].mean(), rel=0.02)


def test_without_images_it_is_the_robust_mean_of_glm(radial):
    boxes = flat_shoeboxes(100, mean=2.0)
    boxes.data[np.random.default_rng(4).random(len(boxes.data)) < 0.01] += 50
    glm = make_context().algorithm("background", "glm").estimate_background(boxes, None)
    result = radial.estimate_background(boxes, None)
    assert np.allclose(result.mean, glm.mean, rtol=3e-3)
    assert np.allclose(result.mean_variance, glm.mean_variance, rtol=0.02)


def test_windows_are_wide_where_the_curve_is_flat_and_narrow_on_a_ring():
    x = np.arange(600)
    true = 2.0 + 8.0 * np.exp(-0.5 * ((x - 300) / 4.0) ** 2)
    exposure = np.full(600, 200.0)
    counts = np.random.default_rng(7).poisson(true * exposure).astype(float)
    curve, error = np.zeros(600), np.zeros(600)
    smooth_as_far_as_it_goes(counts, exposure, 64, 2.0, curve, error)
    assert np.abs(curve - true)[250:350].max() < 0.6
    assert curve[296:305].max() == pytest.approx(10.0, rel=0.05)
    assert np.abs(curve - true)[100:200].std() < 0.3 * np.sqrt(2.0 / 200.0)  # noise of single bins: 0.1


def test_rings_and_what_is_smooth_are_told_apart():
    x = np.arange(2000.0)
    smooth, ring = 3.0 * np.exp(-x / 1500.0), 5.0 * np.exp(-0.5 * ((x - 900) / 5.0) ** 2)
    base, sharp = split(smooth + ring, np.full(2000, 0.01))
    assert np.allclose(base + sharp, smooth + ring)
    assert sharp.sum() == pytest.approx(ring.sum(), rel=0.05)
    assert not sharp[(x < 850) | (x > 950)].any()


@pytest.mark.parametrize("size", [(101, 67), (3, 1), (1, 9)])
def test_pixels_have_the_resolution_and_polarisation_of_their_middles(size):
    tilted = pixel_detector()[0].fast_axis @ np.array([[0.8, 0.0, 0.6], [0.0, 1.0, 0.0], [-0.6, 0.0, 0.8]])
    panel = dataclasses.replace(
        pixel_detector()[0], image_size=size, fast_axis=tilted, mu=3.9, thickness=0.45, parallax="normalised"
    )
    experiment = ringed_experiment(Detector((panel,)), 2)
    learner = RadialLearner(experiment)
    places, weights, *_ = learner._pixels()
    y, x = np.mgrid[: size[1], : size[0]] + 0.5
    s, polarisation = pixel_coordinates(
        experiment.detector, experiment.beam, np.zeros(x.size, np.int64), np.stack([x.ravel(), y.ravel()], axis=1)
    )
    pixel = np.median(np.abs(np.diff(s))) if size[0] > 1 else 1e-3
    assert places[0].shape == (size[1], size[0])
    assert np.abs(places[0].ravel() - s).max() < 1e-3 * pixel
    np.testing.assert_allclose(weights[0].ravel(), polarisation, rtol=1e-6)


def test_as_many_images_do_as_make_the_counts_of_a_ring_known():
    panel = dataclasses.replace(pixel_detector()[0], image_size=(400, 400))
    learner = RadialLearner(ringed_experiment(Detector((panel,)), 2))
    rings = np.hypot(42.0, 53.0) / 0.172  # pixels from the beam to the corner that is furthest from it
    assert learner.enough_images(4) == learner.most_images  # not one photon
    learner.total[0][:] = 2.0
    # the square of 1 / 0.015 counts in each ring, of which four images showed 2 x 400 x 400 in all
    assert learner.enough_images(4) == pytest.approx(4 * rings / 0.015**2 / (2 * 400 * 400), rel=0.1)
    learner.total[0][:] = 1e6
    assert learner.enough_images(4) == 1


@pytest.mark.parametrize("shape", [(2, 2), (2, 7), (31, 22)])
def test_slopes_are_those_of_numpy(shape):
    place = np.random.default_rng(3).random(shape).astype(np.float32)
    down, along = np.empty_like(place), np.empty_like(place)
    slopes(place, down, along)
    np.testing.assert_array_equal([down, along], np.gradient(place))


def test_pixels_of_wanted_bins_are_those_that_were_seen():
    rng = np.random.default_rng(4)
    place, number = rng.random((20, 30)).astype(np.float32), rng.integers(0, 2, (20, 30)).astype(np.uint16)
    wanted = np.zeros(11, np.bool_)
    wanted[[2, 10]] = True
    chosen = np.empty(place.size, np.int64)
    n = pixels_of_bins(number, place, 0.0, 0.1, wanted, chosen)
    at = place.ravel().astype(np.float64)
    inside = ((at >= 0.15) & (at < 0.25)) | (at >= 0.95)
    np.testing.assert_array_equal(chosen[:n], np.flatnonzero(inside & (number.ravel() > 0)))
