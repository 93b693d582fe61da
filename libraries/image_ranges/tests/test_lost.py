"""Lost images in series of which the answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from spindle_lib_image_ranges import image_level, lost_ranges

PIXELS = 50_000


def found(mean, seed=0, least=0.7):
    counts = np.random.default_rng(seed).poisson(np.asarray(mean) * PIXELS)
    return [(r.first, r.last, r.share) for r in lost_ranges(counts / PIXELS, counts.astype(float), least)]


def slow(n=180, seed=0):
    """A level that changes slowly, as that of a crystal in a loop does, and jitters by 2 %."""
    wave = 2 * (1 + 0.3 * np.sin(np.arange(n) / 20))
    return wave * (1 + 0.02 * np.random.default_rng(seed).standard_normal(n))


@pytest.mark.parametrize("seed", range(5))
def test_dips_are_found_with_their_depth(seed):
    left = np.ones(180)
    left[39], left[59:65], left[99:124], left[170:] = 0, 0.08, 0.45, 0.3
    got = found(slow(seed=seed) * left, seed)
    assert [r[:2] for r in got] == [(39, 40), (59, 65), (99, 124), (170, 180)]
    np.testing.assert_allclose([r[2] for r in got], [0, 0.08, 0.45, 0.3], atol=0.06)
    assert found(slow(seed=seed), seed) == []


def test_a_dip_within_a_dip_is_part_of_it():
    left = np.ones(100)
    left[30:50], left[38] = 0.5, 0.0
    assert [r[:2] for r in found(slow(100) * left)] == [(30, 38), (38, 39), (39, 50)]


@pytest.mark.parametrize(
    "mean",
    [
        0.3 + 2 * np.exp(-(((np.arange(180) - 90) / 20) ** 2)),  # the crystal turns into the beam, and out of it
        np.where(np.arange(180) < 90, 1.0, 0.4),  # an attenuator: which half is the usual one, nobody knows
        np.full(180, 3 / PIXELS),  # next to no background
        np.zeros(180),
        np.array([2.0, 0.5]),
        np.where(np.arange(60) == 30, 0.8, 1.0),  # not as low as that
    ],
)
def test_what_is_no_dip_is_left(mean):
    for seed in range(5):
        assert found(mean, seed) == []


def test_chance_makes_no_dips():
    for mean in (1.0, 10.0, 100.0):
        for seed in range(20):
            assert found(np.full(100, mean / PIXELS), seed) == []


def test_unknown_images_are_passed_over():
    level = slow(60)
    level[[20, 21, 40]] = np.nan
    level[22:24] *= 0.1
    assert [(r.first, r.last) for r in lost_ranges(level, np.nan_to_num(level) * PIXELS, 0.7)] == [(22, 24)]


def test_spots_and_untrusted_pixels_count_for_little():
    rng = np.random.default_rng(3)
    panels = [rng.poisson(2.0, (300, 400)), rng.poisson(2.0, (100, 100))]
    good = [np.ones(p.shape, bool) for p in panels]
    total, number = image_level(panels, good, [(0, 1000)] * 2)
    assert number == 130_000 and total / number == pytest.approx(2.0, rel=0.01)
    panels[0][::20, ::20] += 5000  # spots above the trusted range
    panels[1][::30, ::30] += 900  # and within it
    good[0][:, :100] = False
    panels[0][:, :100] = -1
    total, number = image_level(panels, good, [(0, 1000)] * 2)
    assert total / number == pytest.approx(2.0, rel=0.1) and number < 100_000
    assert image_level(panels, [~g for g in good], [(10_000, 20_000)] * 2) == (0.0, 0)
