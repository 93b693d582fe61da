"""Shadows, dead and hot pixels are recognised, and nothing else is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spindle.images import Correction, ImageSequence
from spindle.models import Beam, Detector, Experiment, Goniometer, ImageSet, Panel, Scan
from spindle.testing import make_context, shared_data
from spindle.testing.threshold import threshold_beam, threshold_panel
from spindle_lib_masks.automatic import PixelSums, automatic_mask, judge_pixels, ring_numbers
from spindle_lib_masks.pixel_sums import add_counts

SHAPE = (200, 300)
EXPERIMENT = Experiment(beam=threshold_beam(), detector=Detector([threshold_panel(SHAPE[1], SHAPE[0])]))
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]]
RADIUS = np.hypot(X + 0.5 - SHAPE[1] / 2, Y + 0.5 - SHAPE[0] / 2)


LEVELS = np.zeros(200)


def sums_of(expected, n_images, seed=0):
    rng = np.random.default_rng(seed)
    total = rng.poisson(expected * n_images).astype(np.float64)
    return PixelSums(total, np.full(SHAPE, n_images, np.int32), *(np.zeros(SHAPE, np.int32) for _ in range(2)))


def background(level=2.0):
    """Falls with the angle, and by half from the vertical to the horizontal, as polarisation makes it."""
    azimuth = np.arctan2(Y - SHAPE[0] / 2, X - SHAPE[1] / 2)
    return level * np.exp(-RADIUS / 150) * (0.75 - 0.25 * np.cos(2 * azimuth))


def test_rings_are_about_two_pixels_wide():
    (ring,) = ring_numbers(EXPERIMENT)
    assert ring.min() == 0
    assert np.abs(ring - RADIUS / 2).max() < 4  # 100 mm away, 0.172 mm pixels: tan and sin hardly differ yet


@pytest.mark.parametrize(
    ("distance", "pixel"), [(0.0, 1.0), (1e-9, 1.0), (1e9, 0.001), (1e90, 0.001)]
)  # a pixel at the sample; more rings than an int32 counts
def test_rings_have_numbers_whatever_the_geometry(distance, pixel):
    panel = Panel([1, 0, 0], [0, -1, 0], [-2.0 * pixel, 1.5 * pixel, -distance], (pixel, pixel), (5, 3))
    aside = Panel([0, 0, 1], [0, 1, 0], [max(distance, 1.0) * 3, 0, 0], (pixel, pixel), (4, 4))
    for ring in ring_numbers(replace(EXPERIMENT, detector=Detector([panel, aside]))):
        assert 0 <= ring.min() <= ring.max() <= 2**20


@pytest.mark.parametrize("level", [0.2, 2.0, 200.0])
def test_a_clean_background_has_no_bad_pixels(level):
    found = judge_pixels(ring_numbers(EXPERIMENT), [sums_of(background(level), 60)], 60, LEVELS)
    assert found.masks[0].all()
    assert found.n_shadowed == found.n_dead == found.n_hot == 0


def test_beamstop_arm_dead_and_hot_pixels_are_found():
    expected = background(5.0)
    shadow = (RADIUS < 12) | ((np.abs(X - 150) < 5) & (Y > 100))
    expected[shadow] *= 0.03
    expected[40, 50], expected[150, 250] = 0.0, 60.0
    found = judge_pixels(ring_numbers(EXPERIMENT), [sums_of(expected, 60)], 60, LEVELS)
    bad = ~found.masks[0]
    assert bad[shadow].mean() > 0.99
    assert bad[40, 50] and bad[150, 250]
    assert found.n_hot == found.n_dead == 1
    near = (RADIUS < 16) | ((np.abs(X - 150) < 9) & (Y > 100))
    assert bad[~near].sum() == 2


def test_hot_pixels_are_not_judged_when_the_crystal_hardly_turned():
    expected = background()
    expected[150, 250] = 30.0
    found = judge_pixels(ring_numbers(EXPERIMENT), [sums_of(expected, 60)], 60, LEVELS, find_hot=False)
    assert found.masks[0].all()


class Images:
    """What `automatic_mask` wants of a sequence of images in memory."""

    def __init__(self, images):
        self.experiment = replace(EXPERIMENT, scan=Scan((1, len(images)), (0.0, 1.0)))
        self.images, self.n_images = images, len(images)
        self.corrections = [Correction(np.zeros((1, 1), np.float32), np.ones((1, 1), np.float32))]

    def read(self, index, out=None):
        return [self.images[index]]


@pytest.mark.parametrize("level", [0.3, 1.0, 30.0])
@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_pixels_that_reflections_light_up_in_many_images_are_not_hot(level, dtype):
    """Three or five spots of 3 to 8 images pass over every tenth place; one steady pixel stands in the open and one under such a place."""
    rng = np.random.default_rng(3)
    n = 60
    expected = np.broadcast_to(background(level), (n, *SHAPE)).copy()
    u = np.arange(-3, 4)
    spot = np.exp(-(u[:, None] ** 2 + u**2) / (2 * 0.9**2)) * (40 + 20 * level)
    for y in range(15, 190, 10):
        for x in range(15, 290, 10):
            for first in rng.integers(0, 50, 5 if y % 20 == 5 else 3):
                expected[first : first + rng.integers(3, 9), y - 3 : y + 4, x - 3 : x + 4] += spot
    hot = np.zeros(SHAPE, bool)
    hot[45, 65] = hot[140, 231] = hot[140, 232] = True
    images = rng.poisson(expected).astype(dtype)
    images[:, hot] = rng.poisson(8.0 + 6.0 * level, (n, 3))
    found = automatic_mask(Images(images), [np.ones(SHAPE, bool)], make_context().executor)
    assert found.n_hot == 3
    assert np.array_equal(~found.masks[0], hot)


@pytest.mark.parametrize("number", [1, 2])
def test_counts_of_one_image_or_two_are_added(number):
    rng = np.random.default_rng(6)
    images = rng.integers(-1, 12, (2, 7, 9)).astype(np.int32)
    static, ring = rng.random((7, 9)) < 0.8, rng.integers(0, 3, (7, 9)).astype(np.int32)
    cap, level = np.array([5, 7, 9], np.int32), np.array([1, 2, 3], np.int32)
    total, *numbers = np.zeros((7, 9), np.int32), *(np.zeros((7, 9), np.uint8) for _ in range(3))
    second = images[1] if number == 2 else images[1][:0]
    add_counts(images[0], second, static, np.int32(0), np.int32(10), ring, cap, level, total, *numbers)
    good = static & (images[:number] >= 0) & (images[:number] <= 10)
    assert np.array_equal(total, (np.minimum(images[:number], cap[ring]) * good).sum(axis=0))
    for found, kind in zip(
        numbers, (good, good & (images[:number] >= cap[ring]), good & (images[:number] <= level[ring])), strict=True
    ):
        assert np.array_equal(found, kind.sum(axis=0))


def test_few_images_are_not_judged(tmp_path):
    sequence = ImageSequence(
        Experiment(
            beam=Beam(direction=[0, 0, 1], wavelength=1.0),
            detector=EXPERIMENT.detector,
            goniometer=Goniometer(rotation_axis=np.array([1.0, 0.0, 0.0])),
            scan=Scan((1, 5), (0.0, 1.0)),
            imageset=ImageSet(template=str(tmp_path / "a_##.cbf"), image_range=(1, 5)),
        )
    )
    found = automatic_mask(sequence, [np.ones(SHAPE, np.bool_)], make_context().executor)
    assert found.n_images == 0
    assert found.masks[0].all()


def test_lyso_small_shows_its_beamstop_and_four_hot_pixels():
    """Truth: 4 hot pixels that the file does not flag, a round beamstop with an arm, no background below either."""
    import spindle.execution

    folder = shared_data("lyso_small")
    experiments = spindle.execution.run("import", files=sorted(folder.glob("*.cbf.bz2"))).experiments
    sequence = ImageSequence(experiments[0])
    found = automatic_mask(sequence, sequence.masks, make_context(n_workers=2).executor, max_images=20)
    truth = np.load(folder / "truth.npz")
    bad = ~found.masks[0]
    assert found.n_hot == 4 and bad[truth["hot"]].all()
    dark = (truth["background"] == 0) & sequence.masks[0] & ~truth["bad"]
    assert bad[dark].all()
    near = np.pad(dark, 6)
    near = np.any([np.roll(near, (i, j), (0, 1)) for i in range(-6, 7) for j in range(-6, 7)], axis=0)[6:-6, 6:-6]
    assert not (bad & ~near & ~truth["hot"]).any()
