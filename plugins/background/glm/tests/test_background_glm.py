"""Robust Poisson regression: exact moments, no bias for counts, outliers tamed, trends followed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import poisson
from spindle_background_glm import GlmBackground
from spindle_background_glm.kernels import N_BINS, _collect_whole, any_negative

from spindle.table import MaskCode
from spindle.testing import as_called_by_host, make_context
from spindle.testing.background import flat_shoeboxes, pixel_detector

C = 1.345


def glm(model="constant3d", **changes):
    return as_called_by_host("background", GlmBackground(GlmBackground.Params(model={"algorithm": model}, **changes)))


@pytest.mark.parametrize("model", ["constant3d", "loglinear3d"])
@pytest.mark.parametrize("level", [1e9, 1e30])
@pytest.mark.sampled(2)
def test_counts_beyond_any_detector_take_no_longer_than_others(model, level):
    """With sums over all counts within reach of the mean this would not end."""
    shoeboxes = flat_shoeboxes(4, mean=50.0, seed=5)
    shoeboxes.data[:] *= level / 50.0
    result = glm(model).estimate_background(shoeboxes=shoeboxes, detector=None)
    good = np.asarray(result.success)
    assert np.isfinite(result.mean).all() and np.isfinite(result.background).all()
    assert result.mean[good] == pytest.approx(level, rel=0.1)


def test_constant_solves_the_robust_score_equation():
    shoeboxes = flat_shoeboxes(30, mean=1.0, seed=2)
    outliers = np.random.default_rng(0).random(len(shoeboxes.data)) < 0.03
    shoeboxes.data[outliers] += 50
    result = glm().estimate_background(shoeboxes=shoeboxes, detector=None)
    for i in range(30):
        part = slice(shoeboxes.offsets[i], shoeboxes.offsets[i + 1])
        y = shoeboxes.data[part][result.used[part]].astype(float)

        def score(mu, y=y):
            k = np.arange(0, 200)
            expected = (np.clip((k - mu) / np.sqrt(mu), -C, C) * poisson.pmf(k, mu)).sum()
            return (np.clip((y - mu) / np.sqrt(mu), -C, C) - expected).sum()

        low, high = 0.2, 5.0  # bisection: the score falls with mu
        for _ in range(60):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if score(middle) > 0 else (low, middle)
        # the iteration stops when a step is below 1e-3 of log mu; the error left is a fraction of that step
        assert result.mean[i] == pytest.approx(low, rel=2e-4)


@pytest.mark.parametrize("mean", [0.05, 0.3, 2.0, 50.0])
def test_poisson_counts_give_no_bias_and_the_declared_variance(mean):
    n = 2000
    shoeboxes = flat_shoeboxes(n, mean=mean, seed=3, size=(9, 9, 3))
    result = glm().estimate_background(shoeboxes=shoeboxes, detector=None)
    assert result.success.all()
    z = (result.mean - mean) / np.sqrt(result.mean_variance.mean())
    assert abs(z.mean()) < 4 / np.sqrt(n) + 0.02  # 0.02: an average of 0.05 x 216 counts is skew
    assert z.std() == pytest.approx(1.0, abs=0.06)


def test_outliers_hardly_matter():
    shoeboxes = flat_shoeboxes(300, mean=2.0, seed=4)
    outliers = np.random.default_rng(1).random(len(shoeboxes.data)) < 0.03
    shoeboxes.data[outliers] *= 50
    result = glm().estimate_background(shoeboxes=shoeboxes, detector=None)
    assert result.mean.mean() == pytest.approx(2.0, rel=0.05)  # the plain mean is 4.9


def test_no_photons_are_a_background_of_zero():
    shoeboxes = flat_shoeboxes(5, mean=0.0)
    result = glm().estimate_background(shoeboxes=shoeboxes, detector=None)
    assert result.success.all() and not result.background.any()
    assert (result.mean_variance > 0).all()


def test_negative_values_fail():
    shoeboxes = flat_shoeboxes(5)
    first = np.flatnonzero(shoeboxes.mask[: shoeboxes.offsets[1]] & MaskCode.BACKGROUND)[0]
    shoeboxes.data[first] = -1
    result = glm().estimate_background(shoeboxes=shoeboxes, detector=None)
    assert list(result.success) == [False, True, True, True, True]


@pytest.mark.parametrize("name", ["glm", "Auto"])
def test_values_below_zero_are_left_to_least_squares_and_that_is_said(name, caplog):
    rng = np.random.default_rng(5)
    shoeboxes = flat_shoeboxes(50, mean=0.2)
    shoeboxes.data[:] += rng.normal(-0.8, 0.7, len(shoeboxes.data))
    context = make_context()
    plugin = context.algorithm("background", name)
    with caplog.at_level("WARNING"):
        for _ in range(2):
            result = plugin.estimate_background(shoeboxes=shoeboxes, detector=pixel_detector())
    assert caplog.text.count("below zero") == 1
    assert "background.algorithm=simple" in caplog.text
    assert result.success.all()
    assert result.mean.mean() == pytest.approx(-0.6, abs=0.02)


def test_values_that_are_no_whole_numbers_give_the_same_mean():
    shoeboxes = flat_shoeboxes(20, mean=5.0)
    whole = glm().estimate_background(shoeboxes=shoeboxes, detector=None)
    shoeboxes.data += 1e-4
    shifted = glm().estimate_background(shoeboxes=shoeboxes, detector=None)
    assert np.allclose(whole.mean, shifted.mean, atol=0.01)


@pytest.mark.parametrize("model", ["loglinear2d", "loglinear3d"])
def test_loglinear_follows_a_slope(model):
    n = 300
    shoeboxes = flat_shoeboxes(n, mean=0.0, signal=0.0, size=(11, 11, 3))
    z, y, x = np.mgrid[0:3, 0:11, 0:11]
    truth = 4 * np.exp(0.06 * (x - 5) - 0.04 * (y - 5) + (0.1 * (z - 1) if model == "loglinear3d" else 0))
    shoeboxes.data[:] = np.random.default_rng(0).poisson(np.tile(truth.ravel(), n))
    result = glm(model).estimate_background(shoeboxes=shoeboxes, detector=None)
    assert result.success.all()
    mean = result.background.reshape(n, -1).mean(axis=0)
    assert np.allclose(mean, truth.ravel(), rtol=0.03)
    middle = (shoeboxes.mask.reshape(n, -1)[0] & MaskCode.FOREGROUND) != 0
    z = (result.background.reshape(n, -1)[:, middle].mean(axis=1) - truth.ravel()[middle].mean()) / np.sqrt(
        result.mean_variance
    )
    assert z.std() == pytest.approx(1.0, abs=0.15)


def test_loglinear3d_of_one_image_is_loglinear2d():
    shoeboxes = flat_shoeboxes(30, size=(9, 9, 1))
    one = glm("loglinear3d").estimate_background(shoeboxes=shoeboxes, detector=None)
    other = glm("loglinear2d").estimate_background(shoeboxes=shoeboxes, detector=None)
    assert one.success.all()
    assert np.allclose(one.background, other.background, rtol=1e-6)


@pytest.mark.parametrize("n", [1, 2, 41, 1000])
def test_whole_counts_are_sorted_into_bins_whatever_the_unused_pixels_hold(n):
    rng = np.random.default_rng(n)
    used = (rng.random(n) < 0.6).astype(np.uint8)
    used[0] = 1
    data = rng.poisson(3.0, n).astype(np.float32)
    data[used == 0] = np.resize(np.array([-2.0, 1e9, np.nan, 0.5], np.float32), np.count_nonzero(used == 0))
    values, counts, tables = np.zeros(n), np.zeros(n, np.int64), np.zeros((2, N_BINS), np.int64)
    found, n_bins, total, median = _collect_whole(data, used, tables[0], tables[1], values, counts)
    kept = data[used != 0]
    numbers, times = np.unique(kept, return_counts=True)
    assert (found, total, median) == (len(kept), kept.sum(), np.sort(kept)[len(kept) // 2])
    assert list(values[:n_bins]) == list(numbers)
    assert list(counts[:n_bins]) == list(times)
    assert not tables.any()
    assert not any_negative(data, used)
    data[np.flatnonzero(used)[-1]] = -1.0
    assert any_negative(data, used)
