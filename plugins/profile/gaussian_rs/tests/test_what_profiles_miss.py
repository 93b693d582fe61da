"""The error of profiles that strong spots show, and the photons that lie beyond foregrounds."""

from __future__ import annotations

import numpy as np
import pytest
from spindle_profile_gaussian_rs.model_error import ModelError, blended, model_error
from spindle_profile_gaussian_rs.model_kernels import crowded_parts
from spindle_profile_gaussian_rs.tails import learn_tails

from spindle.table import MaskCode


def fits(error, rng, n=3000, background=400.0):
    """Fits and sums of strong spots that share their photons; fits are wrong by a relative error besides."""
    true = rng.exponential(30000.0, n) + 1000.0
    shared, more = rng.normal(0, np.sqrt(true)), rng.normal(0, np.sqrt(background), n)
    fit = (true + shared) * (1 + error * rng.normal(size=n))
    return true, fit, true.copy(), (true + shared + more) / 1.004, (true + background) / 1.004**2


@pytest.mark.parametrize("error", [0.0, 0.003, 0.02])
def test_the_error_of_profiles_is_learned_from_strong_spots(error):
    known = model_error(*fits(error, np.random.default_rng(1))[1:])
    assert known.error == pytest.approx(error, abs=0.0006 + 0.05 * error)
    assert known.ratio == pytest.approx(1.004, abs=0.0005)


def test_blended_intensities_are_better_than_both_and_their_sigmas_honest():
    true, *found = fits(0.01, np.random.default_rng(2))
    value, variance = blended(*found, ModelError(1.004, 0.01))
    error = value - true
    assert np.sqrt(np.mean(error**2 / variance)) == pytest.approx(1.0, abs=0.05)
    for other in (found[0], found[2] * 1.004):
        assert np.mean(error**2) <= 1.001 * np.mean((other - true) ** 2)
    weak = np.full(3, 1e-3)
    same = blended(weak, np.array([1.0, -1.0, 1.0]), weak, np.array([2.0, 2.0, -1.0]), ModelError(1.0, 0.01))
    np.testing.assert_allclose(same[0], weak)
    np.testing.assert_allclose(same[1], [1.0, -1.0, 1.0], rtol=1e-6)


def test_few_spots_say_nothing_of_profiles():
    assert model_error(*(np.ones(5) for _ in range(4))) == ModelError()
    assert model_error(*(np.zeros(0) for _ in range(4))) == ModelError()


@pytest.mark.parametrize(
    ("fraction", "width", "stray"), [(0.12, 1.9, 0), (0.12, 1.9, 400), (0.08, 2.6, 0), (0.0, 1.9, 0), (0.0, 1.9, 400)]
)
def test_tails_beyond_the_foreground_are_found_and_only_where_they_are(fraction, width, stray):
    """Spots 0.7 px wide with a part of their photons in a wider Gaussian; the background was taken from beyond 4.5 px, tails and all.

    Hits of stray particles, one in each box, are no tails.
    """
    rng = np.random.default_rng(3)
    n, half, radius = 400, 8, 2.6
    xy = 100 + rng.random((n, 2))
    bbox = np.tile(np.array([100 - half, 101 + half, 100 - half, 101 + half, 0, 2], np.int32), (n, 1))
    edge = 2 * half + 1
    y, x = np.mgrid[0:edge, 0:edge] + 100 - half + 0.5
    r = np.hypot(x - xy[:, 0, None, None], y - xy[:, 1, None, None])
    counts = rng.exponential(20000.0, n) + 2000.0
    shape = sum(
        f / (2 * np.pi * w * w) * np.exp(-(r**2) / (2 * w * w)) for f, w in ((1 - fraction, 0.7), (fraction, width))
    )
    data = rng.poisson(0.5 * counts[:, None, None, None] * shape[:, None] + 3.0, (n, 2, edge, edge)).astype(np.float32)
    hit = rng.integers(0, data.size, stray)
    level = np.array([data[i][:, r[i] > 4.5].mean() for i in range(n)])  # a robust background does not feel them
    far = np.broadcast_to(r[:, None] > radius + 1, data.shape).ravel()
    data.ravel()[hit[far[hit]]] += np.exp(rng.uniform(np.log(100.0), np.log(5000.0), np.count_nonzero(far[hit])))
    inside = r < radius
    mask = np.where(inside, MaskCode.FOREGROUND, MaskCode.BACKGROUND).astype(np.uint8) | MaskCode.VALID
    mask = np.repeat(mask[:, None], 2, axis=1).astype(np.uint8)
    seen = np.array([(data[i] - level[i])[:, inside[i]].sum() for i in range(n)])
    offsets = np.arange(n + 1) * 2 * edge * edge
    background = np.repeat(level, 2 * edge * edge).astype(np.float32)
    tails = learn_tails(xy, np.full(n, radius), bbox, offsets, data.ravel(), mask.ravel(), background, seen)
    if fraction == 0.0:
        assert tails is None
        return
    # where neighbours are all around, what lies beyond a foreground may be theirs
    crowded = np.where((r > 5.0) & (x > xy[:, 0, None, None]), MaskCode.OVERLAPPED, 0).astype(np.uint8)
    among = (mask | crowded[:, None]).ravel()
    assert learn_tails(xy, np.full(n, radius), bbox, offsets, data.ravel(), among, background, seen) is None
    found = seen / tails.share_within(np.full(n, radius))
    assert np.sum(seen) / np.sum(counts) < 0.965
    assert np.sum(found) / np.sum(counts) == pytest.approx(1.0, abs=0.007)
    assert (
        learn_tails(xy[:50], np.full(50, radius), bbox, offsets, data.ravel(), mask.ravel(), background, seen[:50])
        is None
    )


def test_a_spot_is_as_crowded_as_the_pixels_around_it():
    spot, under_another = MaskCode.FOREGROUND, MaskCode.OVERLAPPED
    mask = np.array([0, 0, under_another, spot | under_another, spot, 0, spot, spot, under_another], np.uint8)
    out = np.empty(3)
    crowded_parts(np.array([0, 6, 8, 9]), mask, out)
    np.testing.assert_array_equal(out, [0.25, 0.0, 1.0])
