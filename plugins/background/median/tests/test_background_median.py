"""Median background: what it estimates and how well it knows it, from many counts to hardly any."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from scipy.stats import poisson
from spindle_background_median import MedianBackground
from spindle_background_null import NullBackground

from spindle.table import MaskCode
from spindle.testing import as_called_by_host, make_context
from spindle.testing.background import flat_shoeboxes


def median(of_counts="poisson"):
    return as_called_by_host("background", MedianBackground(MedianBackground.Params(of_counts=of_counts)))


@pytest.mark.parametrize("mean", [0.1, 0.3, 0.7, 1.5, 2.5, 20.0, 150.0])
def test_counts_are_estimated_without_bias_and_with_honest_variances(mean):
    n = 1500
    result = median().estimate_background(shoeboxes=flat_shoeboxes(n, mean=mean, seed=1), detector=None)
    z = (result.mean - mean) / np.sqrt(result.mean_variance)
    assert abs(result.mean.mean() - mean) < 4 * result.mean.std() / np.sqrt(n)
    assert np.sqrt((z**2).mean()) == pytest.approx(1.0, abs=0.12)  # of few counts the variance is known badly


@pytest.mark.parametrize("k", [0, 1, 2, 7])
def test_estimate_has_the_observed_median(k):
    """Half of the distribution lies below the observed median, pixels of equal counts being spread evenly."""
    shoeboxes = flat_shoeboxes(1, mean=1.0, size=(9, 9, 3))
    used = np.flatnonzero(shoeboxes.mask & MaskCode.BACKGROUND)
    shares = len(used) * 2 // 5, len(used) * 7 // 10
    values = np.full(len(used), k)
    values[: shares[0]] = max(k - 1, 0)
    values[shares[1] :] = k + 1
    shoeboxes.data[used] = values
    mean = float(median().estimate_background(shoeboxes=shoeboxes, detector=None).mean[0])
    below, equal = (values < k).sum(), (values == k).sum()
    part = (len(used) / 2 - below) / equal
    assert poisson.cdf(k - 1, mean) + part * poisson.pmf(k, mean) == pytest.approx(0.5, abs=1e-7)


def test_outliers_hardly_matter():
    clean = flat_shoeboxes(300, mean=0.5, seed=3)
    dirty = flat_shoeboxes(300, mean=0.5, seed=3)
    dirty.data[np.random.default_rng(0).random(len(dirty.data)) < 0.02] = 500
    values = [median().estimate_background(shoeboxes=b, detector=None).mean.mean() for b in (clean, dirty)]
    assert values[1] - values[0] == pytest.approx(0.02, abs=0.02)  # 2 % of the pixels moved to the other side


def test_no_counts_at_all_are_no_certainty():
    shoeboxes = flat_shoeboxes(3, mean=0.0)
    result = median().estimate_background(shoeboxes=shoeboxes, detector=None)
    assert result.success.all() and np.allclose(result.mean, 0, atol=1e-6) and (result.mean_variance > 0).all()


@pytest.mark.parametrize("offset", [0.25, -3.0])
def test_what_are_no_counts_and_plain_medians_are_those_of_numpy(offset):
    shoeboxes = flat_shoeboxes(30, mean=2.0, seed=4)
    shoeboxes.data += offset
    for kind in ("poisson", "plain"):
        result = median(kind).estimate_background(shoeboxes=shoeboxes, detector=None)
        for i in range(len(shoeboxes)):
            part = slice(shoeboxes.offsets[i], shoeboxes.offsets[i + 1])
            values = shoeboxes.data[part][(shoeboxes.mask[part] & MaskCode.BACKGROUND) != 0]
            if (values < 0).any() or offset == 0.25:
                assert result.mean[i] == np.median(values)


@pytest.mark.parametrize(("mean", "said"), [(0.3, True), (0.0, False)])
def test_null_says_what_it_leaves_in_the_intensities(mean, said, caplog):
    plugin = NullBackground(None, make_context())
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            plugin.estimate_background(shoeboxes=flat_shoeboxes(50, mean=mean))
    assert ("stays in the intensities" in caplog.text) is said
    assert caplog.text.count("stays in the intensities") == int(said)
