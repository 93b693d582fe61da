"""The Gaussian smoother: limits and properties that follow from its definition."""

from __future__ import annotations

import numpy as np
import pytest

from spindle_lib_smoothing.smoother import Smoother, Spline, n_samples, smoother_weights


@pytest.mark.parametrize(("intervals", "samples"), [(1, 2), (2, 3), (3, 5), (10, 12)])
def test_number_of_samples(intervals: int, samples: int) -> None:
    assert n_samples(intervals) == samples


@pytest.mark.parametrize("n", [2, 3, 5, 9])
def test_weights_sum_to_one_and_constants_stay_constant(n: int) -> None:
    u = np.linspace(-1.0, n, 101)
    indices, weights = smoother_weights(u, n)
    assert weights.sum(axis=1) == pytest.approx(1.0)
    assert indices.min() >= 0 and indices.max() < n


def test_positions_lie_half_a_spacing_beyond_the_ends() -> None:
    smoother = Smoother(10.0, 70.0, 6)
    assert smoother.positions[[0, -1]] == pytest.approx([5.0, 75.0])
    assert Smoother(0.0, 8.0, 1).positions == pytest.approx([0.0, 8.0])
    assert Smoother(0.0, 8.0, 2).positions == pytest.approx([0.0, 4.0, 8.0])


def test_known_weights_between_two_samples() -> None:
    # Halfway between samples 1 and 2 of five (positions -0.5, 0.5, 1.5, ...), u = 1: distances 1.5, 0.5, 0.5, sigma =
    # 0.7.
    indices, weights = smoother_weights(np.array([1.0]), 6)
    raw = np.exp(-((np.array([1.5, 0.5, 0.5]) / 0.7) ** 2))
    assert indices[0].tolist() == [0, 1, 2]
    assert weights[0] == pytest.approx(raw / raw.sum())


def test_a_symmetric_curve_stays_symmetric() -> None:
    smoother = Smoother(0.0, 9.0, 9)
    samples = np.abs(np.arange(smoother.n_values) - (smoother.n_values - 1) / 2)
    x = np.linspace(0.01, 8.99, 57)
    assert smoother.values(x, samples) == pytest.approx(smoother.values(9.0 - x, samples))


@pytest.mark.parametrize("intervals", [1, 2, 3, 7])
def test_a_spline_keeps_straight_lines_and_is_smooth(intervals: int) -> None:
    spline = Spline(5.0, 26.0, intervals)
    x = np.linspace(5.0, 26.0, 400)
    assert spline.values(x, 3.0 - 0.2 * spline.positions) == pytest.approx(3.0 - 0.2 * x)
    curve = spline.values(x, np.random.default_rng(1).normal(size=spline.n_values))
    slope = np.diff(curve) / np.diff(x)
    # The second derivative of a quadratic spline is bounded: slopes of neighbouring pieces differ by little.
    assert np.abs(np.diff(slope)).max() < 10 * (x[1] - x[0]) / spline.spacing**2
    assert spline.values(np.array([0.0, 30.0]), spline.positions) == pytest.approx([5.0, 26.0])


@pytest.mark.parametrize("intervals", [2, 3, 5])
def test_a_spline_can_be_any_parabola(intervals: int) -> None:
    spline = Spline(0.0, 10.0, intervals)
    x = np.linspace(0.0, 10.0, 50)
    index, weight = spline.weights(x)
    design = np.zeros((len(x), spline.n_values))
    np.put_along_axis(design, index, weight, axis=1)
    wanted = 1.0 - 0.7 * x + 0.05 * x * x
    assert design @ np.linalg.lstsq(design, wanted, rcond=None)[0] == pytest.approx(wanted)


@pytest.mark.parametrize("intervals", [1, 2, 3, 6])
def test_slopes_of_a_spline_are_those_of_its_weights(intervals: int) -> None:
    spline = Spline(2.0, 15.0, intervals)
    x = np.linspace(2.1, 14.9, 58)
    ahead, behind = (spline.weights(x + step)[1] for step in (1e-5, -1e-5))
    assert spline.slopes(x) == pytest.approx((ahead - behind) / 2e-5, abs=1e-6)
    assert spline.slopes(np.array([0.0, 20.0])).sum(axis=1) == pytest.approx([0.0, 0.0])
