"""Known slopes, noises and bounds are found."""

from __future__ import annotations

import fabio
import gemmi
import numpy as np
import pytest
from scipy.stats import norm

import spindle
import spindle_lib_comparison as comparison
from spindle_lib_comparison import (
    SpotWidths,
    compare_pairs,
    least_variance,
    operator_text,
    pair_by_place,
    read_truths,
    spot_widths,
)
from spindle_lib_comparison.agreement import compare_intensities
from spindle_lib_comparison.matching import is_symmetry


def test_everything_public_is_described():
    for name in comparison.__all__:
        assert getattr(comparison, name).__doc__, name


def made(rng, n=1500, slope=1.3, offset=2.0):
    """Two results of the same intensities, each with counting errors and those of a background."""
    true = rng.exponential(40.0, n)
    sx, sy = np.sqrt(true + 100.0), slope * np.sqrt(0.5 * true + 150.0)
    return rng.normal(true, sx), sx, rng.normal(slope * true + offset, sy), sy


def test_slope_and_correlation_are_those_that_were_put_in():
    rng = np.random.default_rng(1)
    x, sx, y, sy = made(rng, n=200_000)
    found = compare_pairs(x, sx, y, sy)
    assert found.slope == pytest.approx(1.3, abs=0.01)
    assert found.offset == pytest.approx(2.0, abs=0.5)
    variance = 40.0**2
    expected = variance / np.sqrt((variance + 140.0) * (variance + 170.0))  # of an exponential with mean 40
    assert found.cc == pytest.approx(expected, abs=0.005)
    assert found.rms_z == pytest.approx(np.sqrt(2), abs=0.05)  # independent errors


def test_ordinary_least_squares_would_be_wrong():
    """The noise of x is as large as its spread; a line through y alone is too flat."""
    rng = np.random.default_rng(2)
    x, sx, y, sy = made(rng, n=100_000)
    flat = np.polyfit(x, y, 1)[0]
    assert flat < 1.25 and compare_pairs(x, sx, y, sy, 0).slope == pytest.approx(1.3, abs=0.01)


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(3)
    inside = np.zeros(2)
    n = 200
    expected = 40.0**2 / np.sqrt((40.0**2 + 140.0) * (40.0**2 + 170.0))
    for k in range(n):
        found = compare_pairs(*made(rng, 2000), n_bootstrap=300, seed=k)
        inside += [
            found.slope_interval[0] <= 1.3 <= found.slope_interval[1],
            found.cc_interval[0] <= expected <= found.cc_interval[1],
        ]
    # 0.95 with a standard error of 0.016; a bootstrap of intensities with a long tail is a little too narrow for their correlation
    assert np.all(inside / n > 0.90) and np.all(inside / n < 0.995)


def test_nothing_is_said_of_nothing():
    none = np.zeros(0)
    assert np.isnan(compare_pairs(none, none, none, none).cc)
    one = np.ones(5)
    assert np.isnan(compare_pairs(one, one, one, one).slope)


def test_axes_are_found_by_place():
    rng = np.random.default_rng(4)
    hkl = rng.integers(-20, 20, (500, 3))
    place = rng.uniform(0, 1000, (500, 3))
    panel = rng.integers(0, 3, 500)
    matrix = np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]])
    order = rng.permutation(500)[:400]
    pairs = pair_by_place(
        panel, place, hkl, panel[order], place[order] + rng.normal(0, 0.05, (400, 3)), hkl[order] @ matrix.T, 0.5
    )
    assert len(pairs) == 400 and np.array_equal(pairs.reindex, matrix)
    assert np.array_equal(order[pairs.second], pairs.first)
    assert operator_text(pairs.reindex) == "k,-h,l"


def test_far_places_make_no_pairs():
    place = np.arange(300.0).reshape(100, 3) * 50
    hkl = np.arange(300).reshape(100, 3)
    panel = np.zeros(100, int)
    assert len(pair_by_place(panel, place, hkl, panel, place + 20, hkl, 0.5)) == 0
    assert len(pair_by_place(panel, place, hkl, panel[:0], place[:0], hkl[:0], 0.5)) == 0


def test_symmetry_is_told_from_a_choice_of_axes():
    quarter = np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]])
    assert is_symmetry(quarter, gemmi.SpaceGroup("P 43 21 2"))
    assert not is_symmetry(quarter, gemmi.SpaceGroup("P 21 21 21"))


@pytest.mark.parametrize("middle", [10.3, 0.6, 19.9])
@pytest.mark.parametrize(("n", "b"), [(3.0, 2.0), (300.0, 2.0), (300.0, 0.05), (50.0, 0.0)])
def test_bound_is_that_of_a_sum_over_pixels(middle, n, b):
    """Against 1 / sum p^2 / (n p + b) over fine pixels of 20 images, for spots that the first or the last image cuts, too."""
    step, widths, across = 0.2, (1.1, 1.4), 1.7
    grid = np.arange(-9, 9, step)
    plane = np.ones(())
    for width in widths:
        one = np.exp(-0.5 * (grid / width) ** 2)
        plane = np.multiply.outer(plane, one / one.sum())
    beam = np.linspace(0.5, 1.5, 20)
    share = np.diff(norm.cdf((np.arange(-20, 41) - middle) / across)) * np.concatenate(
        [np.full(20, beam[0]), beam, np.full(20, beam[-1])]
    )
    share = (share / share.sum())[20:40, None, None]
    profile = share * plane
    dark = np.maximum(b * step**2 * beam[:, None, None], 1e-9 * n * plane)
    expected = 1 / np.sum(profile**2 / (n * profile + dark))
    spot = SpotWidths(np.array([np.prod(widths)]), *(np.array([v]) for v in (across, middle, b)), beam)
    assert least_variance(np.array([n]), spot)[0] == pytest.approx(expected, rel=0.01)


def test_widths_are_those_of_the_pixels_that_a_spot_lights(tmp_path):
    """Spots of 0.5 deg mosaicity without background: across the detector, the second moments of their pixels."""
    spindle.run(
        "simulate",
        **{
            "crystal.mosaic_spread": 0.5, "scan.n_images": 6, "scan.oscillation": 1.0, "detector.model": "300K", "structure.d_min": 3.0,
            "structure.mean_counts": 3000.0, "crystal.unit_cell": (28.0, 31.0, 34.0, 90.0, 90.0, 90.0), "crystal.space_group": "P 21 21 21",
            "background.flat": 0.0, "background.air": 0.0, "background.solvent": 0.0, "output.directory": str(tmp_path), "run.seed": 3,
        },
    )  # fmt: skip
    truth = read_truths([], tmp_path, None)[0]
    widths = spot_widths(truth)
    image = sum(np.maximum(fabio.open(path).data, 0) for path in sorted(tmp_path.glob("*.cbf")))
    places = np.stack(np.meshgrid(np.arange(15), np.arange(15))).reshape(2, -1)
    found = []
    for row in np.flatnonzero((truth.drawn > 500) & truth.observable() & truth.at(truth.clean)):
        x, y = truth.position[row, :2].astype(int)
        others = np.linalg.norm(truth.position[:, :2] - truth.position[row, :2], axis=1)
        if np.sort(others)[1] < 14 or not (8 <= x < 479 and 8 <= y < 611):
            continue
        box = image[y - 7 : y + 8, x - 7 : x + 8].ravel()
        found.append(np.sqrt(np.linalg.det(np.cov(places, fweights=box))) / widths.area[row])
    assert len(found) > 20
    assert np.median(found) == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("mean", [4.0, 40.0, 4000.0])
@pytest.mark.parametrize("fit_b", [False, True])
def test_scale_and_b_against_the_truth_are_unbiased_however_weak_the_data(mean, fit_b):
    """Poisson counts on a background of 9 with an unknown scale and B, a few of them wild."""
    rng = np.random.default_rng(int(mean))
    n, scale, b = 20000, 0.8, 3.0 * fit_b
    d = 1.0 / np.sqrt(rng.uniform(0.01, 0.2, n))
    true = rng.exponential(mean, n) * np.exp(-5.0 / d**2)
    expected = scale * true * np.exp(-0.5 * b / d**2)
    found = rng.poisson(expected + 9.0) - 9.0
    found[:20] += 50.0 * (mean + 9.0)
    sigma = np.sqrt(np.maximum(found + 9.0, 1.0))
    agreement = compare_intensities(found, sigma, true, d, 5, fit_b)
    precision = np.sqrt(np.sum(true) + 9.0 * n) / np.sum(true)  # of the sum of all
    assert agreement.scale == pytest.approx(scale, abs=6 * precision + 0.002)
    assert agreement.relative_b == pytest.approx(b, abs=fit_b * (80 * precision + 0.05))
    # without the wild ones, all over the true scale and B
    kept = slice(20, None)
    again = compare_intensities(found[kept], sigma[kept], true[kept], d[kept], 5, fit_b)
    assert np.abs(again.ratio - 1.0).max() < 10 * precision + 0.005
