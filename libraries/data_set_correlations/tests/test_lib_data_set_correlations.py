"""Correlations against numpy, and coordinates whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from spindle.testing import make_context
from spindle_lib_data_set_correlations.coordinates import best_dimension, find_coordinates, principal_axes
from spindle_lib_data_set_correlations.pairs import correlations_of_pairs, weights_of
from spindle_lib_symmetry_analysis.alignment import observed

IDENTITY = np.eye(3, dtype=np.int64)
SWAP = np.array([[0, 1, 0], [1, 0, 0], [0, 0, -1]])


@pytest.fixture
def executor():
    return make_context().executor


@pytest.fixture(scope="module")
def sets():
    """Three sets of parts of the same 300 intensities; the last is reindexed by SWAP."""
    rng = np.random.default_rng(1)
    hkl = np.array([(h, k, l) for h in range(-4, 5) for k in range(-4, 5) for l in range(1, 5)])
    truth = rng.exponential(1.0, len(hkl))
    found = []
    for i in range(3):
        rows = np.sort(rng.permutation(len(hkl))[:250])
        indices = hkl[rows] @ (SWAP if i == 2 else IDENTITY)
        found.append(observed(indices, truth[rows] + rng.normal(0, 0.1, 250), np.full(250, 0.1)))
    return found


def correlation_by_hand(one, other, turn):
    mine = {tuple(h): v for h, v in zip(one.hkl.tolist(), one.intensity, strict=True)}
    x, y = [], []
    for h, v in zip((other.hkl @ turn).tolist(), other.intensity, strict=True):
        for key in (tuple(h), tuple(-a for a in h)):
            if key in mine:
                x.append(mine[key])
                y.append(v)
                break
    return np.corrcoef(x, y)[0, 1], len(x)


def test_correlations_are_those_of_the_common_reflections(sets, executor):
    pairs = correlations_of_pairs(sets, [IDENTITY, SWAP], [IDENTITY], executor)
    for k, turn in enumerate((IDENTITY, SWAP)):
        for i in range(3):
            for j in range(3):
                if k == 0 and i == j:
                    assert np.isnan(pairs.cc[0, i, i])
                    continue
                cc, n = correlation_by_hand(sets[i], sets[j], turn)
                assert pairs.cc[k, i, j] == pytest.approx(cc, abs=1e-12)
                assert pairs.n[k, i, j] == n
    assert pairs.between(0, 1)[0, 2] > 0.95 > pairs.between(0, 0)[0, 2]
    np.testing.assert_allclose(pairs.between(1, 0), pairs.between(0, 1).T, atol=1e-12)


def test_equal_variances_change_nothing_and_poor_values_count_less(sets, executor):
    plain = correlations_of_pairs(sets[:2], [IDENTITY], [IDENTITY], executor)
    same = correlations_of_pairs(sets[:2], [IDENTITY], [IDENTITY], executor, weighted=True)
    np.testing.assert_allclose(same.cc, plain.cc, atol=1e-12)
    np.testing.assert_allclose(same.n, plain.n)
    hkl, value = sets[0].hkl, sets[0].intensity.copy()
    sigma = np.full(len(value), 0.1)
    value[:20], sigma[:20] = 30.0, 50.0
    spoiled = [observed(hkl, value, sigma), sets[1]]
    bad = correlations_of_pairs(spoiled, [IDENTITY], [IDENTITY], executor).cc[0, 0, 1]
    good = correlations_of_pairs(spoiled, [IDENTITY], [IDENTITY], executor, weighted=True)
    assert bad < 0.3 and good.cc[0, 0, 1] > 0.95
    assert good.n[0, 0, 1] < plain.n[0, 0, 1]


def test_too_few_reflections_and_constant_ones_are_not_known(executor):
    hkl = np.array([(1, 0, i) for i in range(2, 8)])
    flat = observed(hkl, np.ones(6), np.ones(6))
    few = observed(hkl[:2], np.array([1.0, 2.0]), np.ones(2))
    nothing = observed(hkl[:0], np.zeros(0), np.zeros(0))
    pairs = correlations_of_pairs([flat, few, nothing], [IDENTITY], [IDENTITY], executor, min_pairs=3)
    assert np.isnan(pairs.cc).all()
    assert not weights_of(pairs, "count").any() and not weights_of(pairs, "standard_error").any()


def test_weights_have_the_mean_one(sets, executor):
    pairs = correlations_of_pairs(sets, [IDENTITY, SWAP], [IDENTITY], executor)
    for kind in ("count", "standard_error", None):
        weights = weights_of(pairs, kind)
        assert weights[np.isfinite(pairs.cc)].mean() == pytest.approx(1.0)
        assert not weights[np.isnan(pairs.cc)].any()
    by_error = weights_of(pairs, "standard_error")
    assert by_error[1, 0, 2] > by_error[0, 0, 2]  # a high correlation is the surer one


def test_indexings_of_one_structure_point_into_as_many_directions(sets, executor):
    pairs = correlations_of_pairs(sets, [IDENTITY, SWAP], [IDENTITY], executor)
    found = find_coordinates(pairs, weights_of(pairs, "count"), None, np.random.default_rng(0))
    unit = found.vectors / found.lengths[..., None]
    assert unit[0, 0] @ unit[0, 1] > 0.99 and unit[0, 0] @ unit[1, 2] > 0.99
    assert unit[0, 0] @ unit[0, 2] < 0.5
    assert found.lengths.mean() == pytest.approx(np.sqrt(0.99), abs=0.03)


def test_the_gradient_is_that_of_the_residual(sets, executor):
    from scipy.optimize import check_grad

    from spindle_lib_data_set_correlations.coordinates import _Problem

    pairs = correlations_of_pairs(sets, [IDENTITY, SWAP], [IDENTITY], executor)
    problem = _Problem(pairs, weights_of(pairs, "count"))
    start = np.random.default_rng(2).random(2 * 3 * 2)
    assert check_grad(lambda x: problem(x)[0], lambda x: problem(x)[1], start) < 1e-4


def test_the_elbow_is_where_the_fall_ends():
    assert best_dimension([(1, 10.0), (2, 7.0), (3, 4.0), (4, 1.0), (5, 0.9), (6, 0.8)]) == 4
    assert best_dimension([(1, 4200.0), (2, 1800.0), (3, 900.0), (4, 100.0), (5, 90.0), (6, 85.0)]) == 4
    assert best_dimension([(d, 10.0 - 0.4 * d if d > 1 else 20.0) for d in range(1, 12)]) == 2
    assert best_dimension([(1, 3.0), (2, 3.0), (3, 3.0)]) == 1
    assert best_dimension([(2, 3.0)]) == 2


def test_principal_axes_keep_lengths_and_angles():
    vectors = np.random.default_rng(3).normal(size=(9, 3)) * [3.0, 1.0, 0.1]
    turned, fractions = principal_axes(vectors)
    np.testing.assert_allclose(turned @ turned.T, vectors @ vectors.T, atol=1e-12)
    assert fractions.sum() == pytest.approx(1.0) and np.all(np.diff(fractions) <= 0)
