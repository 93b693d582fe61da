"""Least-squares background: against numpy, rank, outlier rules by their definition."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import erfinv
from spindle_background_simple import SimpleBackground

from spindle.table import MaskCode
from spindle.testing import as_called_by_host
from spindle.testing.background import flat_shoeboxes


def simple(model="constant3d", outlier="null", **limits):
    params = SimpleBackground.Params().changed(
        {"model.algorithm": model, "outlier.algorithm": outlier}, **{f"outlier__{k}": v for k, v in limits.items()}
    )
    return as_called_by_host("background", SimpleBackground(params))


def background_values(shoeboxes, i):
    part = slice(shoeboxes.offsets[i], shoeboxes.offsets[i + 1])
    return shoeboxes.data[part][(shoeboxes.mask[part] & MaskCode.BACKGROUND) != 0].astype(float)


def with_outliers(n=100):
    shoeboxes = flat_shoeboxes(n, mean=4.0, seed=8)
    bright = np.random.default_rng(2).random(len(shoeboxes.data)) < 0.02
    shoeboxes.data[bright] += 60
    return shoeboxes


@pytest.mark.parametrize("model", ["linear2d", "linear3d"])
def test_planes_are_those_of_numpy(model):
    shoeboxes = flat_shoeboxes(40, mean=20.0, size=(9, 8, 3))
    result = simple(model).estimate_background(shoeboxes=shoeboxes, detector=None)
    z, y, x = (a.ravel() for a in np.mgrid[0:3, 0:8, 0:9])
    for i in range(40):
        part = slice(shoeboxes.offsets[i], shoeboxes.offsets[i + 1])
        data = shoeboxes.data[part].astype(float)
        use = (shoeboxes.mask[part] & MaskCode.BACKGROUND) != 0
        slices = [z == s for s in range(3)] if model == "linear2d" else [np.ones(len(z), bool)]
        columns = [np.ones(len(x)), x, y] + ([] if model == "linear2d" else [z])
        design = np.stack(columns, axis=1)
        for rows in slices:
            solution = np.linalg.lstsq(design[rows & use], data[rows & use], rcond=None)[0]
            assert np.allclose(result.background[part][rows], design[rows] @ solution, rtol=1e-5)


def test_linear3d_of_one_image_is_a_plane():
    shoeboxes = flat_shoeboxes(30, size=(9, 9, 1))
    three = simple("linear3d").estimate_background(shoeboxes=shoeboxes, detector=None)
    two = simple("linear2d").estimate_background(shoeboxes=shoeboxes, detector=None)
    assert three.success.all()
    assert np.allclose(three.background, two.background, rtol=1e-6)


@pytest.mark.parametrize("model", ["constant2d", "constant3d", "linear2d", "linear3d"])
def test_declared_variance_is_that_of_repeated_trials(model):
    n, mean = 1500, 6.0
    shoeboxes = flat_shoeboxes(n, mean=mean, seed=5, size=(9, 9, 3))
    result = simple(model).estimate_background(shoeboxes=shoeboxes, detector=None)
    middle = (shoeboxes.mask.reshape(n, -1)[0] & MaskCode.FOREGROUND) != 0
    found = result.background.reshape(n, -1)[:, middle].mean(axis=1)
    assert ((found - mean) / np.sqrt(result.mean_variance)).std() == pytest.approx(1.0, abs=0.08)


def test_nsigma_keeps_three_standard_deviations():
    shoeboxes = with_outliers()
    result = simple(outlier="nsigma").estimate_background(shoeboxes=shoeboxes, detector=None)
    for i in range(len(shoeboxes)):
        v = background_values(shoeboxes, i)
        keep = np.abs(v - v.mean()) <= 3 * v.std(ddof=1)
        assert result.mean[i] == pytest.approx(v[keep].mean(), rel=1e-6)


def test_truncated_drops_fixed_numbers_at_both_ends():
    shoeboxes = with_outliers()
    plugin = simple(outlier="truncated", truncated__lower=0.1, truncated__upper=0.3)
    result = plugin.estimate_background(shoeboxes=shoeboxes, detector=None)
    for i in range(len(shoeboxes)):
        v = np.sort(background_values(shoeboxes, i))
        n = len(v)
        kept = v[int(0.05 * n + 1e-9) : n - int(0.15 * n + 1e-9)]
        assert result.used[shoeboxes.offsets[i] : shoeboxes.offsets[i + 1]].sum() == pytest.approx(len(kept), abs=1)
        assert result.mean[i] == pytest.approx(kept.mean(), rel=0.02)


def test_normal_peels_off_bright_pixels():
    shoeboxes = with_outliers()
    result = simple(outlier="normal").estimate_background(shoeboxes=shoeboxes, detector=None)
    for i in range(len(shoeboxes)):
        v = np.sort(background_values(shoeboxes, i))
        while len(v) > 10 and (v[-1] - v.mean()) / v.std(ddof=1) >= np.sqrt(2) * erfinv(1 - 1 / len(v)):
            v = v[:-1]
        assert result.mean[i] == pytest.approx(v.mean(), rel=1e-6)


def test_tukey_keeps_within_the_fences():
    shoeboxes = with_outliers()
    result = simple(outlier="tukey").estimate_background(shoeboxes=shoeboxes, detector=None)
    for i in range(len(shoeboxes)):
        v = np.sort(background_values(shoeboxes, i))
        half = len(v) // 2
        q1, q3 = v[half // 2], v[half + (len(v) - half) // 2]
        keep = (v >= q1 - 1.5 * (q3 - q1)) & (v <= q3 + 1.5 * (q3 - q1))
        assert result.mean[i] == pytest.approx(v[keep].mean(), rel=1e-6)


def test_plane_rejection_follows_a_slope():
    n = 50
    shoeboxes = flat_shoeboxes(n, mean=0.0, signal=0.0, size=(11, 11, 2))
    _, _, x = np.mgrid[0:2, 0:11, 0:11]
    shoeboxes.data[:] = np.tile((40 + 3.0 * (x - 5)).ravel(), n)
    bright = np.random.default_rng(3).random(len(shoeboxes.data)) < 0.01
    shoeboxes.data[bright] += 150
    used = simple("linear2d", "plane").estimate_background(shoeboxes=shoeboxes, detector=None).used
    background = (shoeboxes.mask & MaskCode.BACKGROUND) != 0
    assert not used[bright].any()
    assert used[background & ~bright].mean() > 0.97


@pytest.mark.parametrize("model", ["constant2d", "constant3d", "linear2d", "linear3d"])
@pytest.mark.parametrize("outlier", ["null", "nsigma", "truncated", "normal", "plane", "tukey"])
def test_an_offset_of_all_pixels_offsets_the_background(outlier, model):
    rng = np.random.default_rng(3)
    shoeboxes = flat_shoeboxes(60, mean=0.0, size=(11, 11, 5))
    shoeboxes.data[:] += rng.normal(-0.7, 0.5, len(shoeboxes.data))
    result = simple(model, outlier).estimate_background(shoeboxes=shoeboxes, detector=None)
    assert result.success.all()
    # standard deviation of the mean of all 60 shoeboxes is 0.003; 1 % of the pixels at each end may be left out
    assert result.mean.mean() == pytest.approx(-0.7, abs=0.015)
    assert result.mean_variance.mean() == pytest.approx(np.var(result.mean), rel=1.0)


@pytest.mark.parametrize("outlier", ["null", "nsigma", "normal", "plane", "tukey"])
def test_single_photons_are_no_outliers_where_there_are_few(outlier):
    shoeboxes = flat_shoeboxes(200, mean=0.02, size=(13, 13, 6))
    result = simple("constant3d", outlier).estimate_background(shoeboxes=shoeboxes, detector=None)
    assert result.success.all()
    assert result.mean.mean() == pytest.approx(0.02, rel=0.04)
