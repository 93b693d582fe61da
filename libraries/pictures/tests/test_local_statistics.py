"""Maps of the windows around pixels: equal to plain sums, and to the decisions of the threshold."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import convolve

from spindle.errors import ShapeError
from spindle.params import make
from spindle.testing import make_context
from spindle_lib_pictures.local_statistics import LOCAL_MAPS, least_count, local_map


def image(shape=(61, 47), seed=1, dtype=np.int32, mean=3.0) -> tuple[np.ndarray, np.ndarray]:
    """Counts with a few spots, and a mask with gaps."""
    rng = np.random.default_rng(seed)
    pixels = rng.poisson(mean, shape).astype(dtype)
    for y, x in rng.integers(2, np.array(shape) - 2, (12, 2)):
        pixels[y - 1 : y + 2, x - 1 : x + 2] += rng.poisson(60, (3, 3)).astype(dtype)
    good = rng.random(shape) > 0.05
    good[20:24] = False
    return pixels, good


def plain_sums(pixels, good, kernel):
    """Number, sum and sum of squares by convolution."""
    window = np.ones((2 * kernel[0] + 1, 2 * kernel[1] + 1))
    used = np.where(good, pixels, 0).astype(np.float64)
    return [convolve(a, window, mode="constant") for a in (good.astype(np.float64), used, used**2)]


@pytest.mark.parametrize("kernel", [(3, 3), (1, 10), (12, 2), (25, 30)])
@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_maps_are_those_of_plain_sums(kernel, dtype):
    pixels, good = image(dtype=dtype)
    m, x, y = plain_sums(pixels, good, kernel)
    used = good & (m >= 2)
    m = np.maximum(m, 2)
    variance = np.where(used, (y - x * x / m) / (m - 1), 0)
    mean = np.where(used, x / m, 0)
    assert np.allclose(local_map(pixels, good, "mean", kernel), mean, rtol=1e-6)
    assert np.allclose(local_map(pixels, good, "variance", kernel), variance, rtol=1e-5, atol=1e-6)
    ratio = np.divide(variance, mean, out=np.zeros_like(mean), where=mean > 0)
    assert np.allclose(local_map(pixels, good, "dispersion", kernel), ratio, rtol=1e-5, atol=1e-6)


def test_index_of_dispersion_of_counts_is_one():
    counts = np.random.default_rng(2).poisson(5.0, (400, 400)).astype(np.int32)
    found = local_map(counts, np.ones(counts.shape, bool), "dispersion", (20, 20))
    # 1681 pixels per window: standard deviation sqrt(2 / 1680) = 0.035 of single windows, less of their mean.
    assert found.mean() == pytest.approx(1.0, abs=0.01) and found.std() < 0.06


@pytest.mark.parametrize("gain", [1.0, 1.7])
@pytest.mark.parametrize("min_local", [2, 30, 0])
@pytest.mark.parametrize("kernel", [(3, 3), (2, 5)])
def test_threshold_map_is_the_decision_of_the_threshold_plugin(gain, min_local, kernel):
    pixels, good = image((120, 130), seed=7, mean=2.0)
    plugin = make_context().host.load("threshold", "dispersion")
    params = make(plugin.Params, gain=gain, min_local=min_local, kernel_size=kernel, global_threshold=4.0)
    found = (
        make_context()
        .algorithm("threshold", "dispersion", params)
        .find_strong(
            image=pixels, mask=good, gain=1.0, panel=None, beam=None, corner=(0, 0), out=np.empty(pixels.shape, bool)
        )
    )
    own = local_map(pixels, good, "threshold", kernel, min_local, gain, global_threshold=4.0)
    assert found.sum() >= 3
    assert np.array_equal(own == 1, found)
    parts = [local_map(pixels, good, what, kernel, min_local, gain) == 1 for what in ("sigma_b", "sigma_s")]
    assert np.array_equal(parts[0] & parts[1] & (pixels > 4), found)


def test_map_of_gains():
    pixels, good = image()
    uniform = local_map(pixels, good, "sigma_s", gain=2.0)
    assert np.array_equal(uniform, local_map(pixels, good, "sigma_s", gain=np.full(pixels.shape, 2.0)))


def test_a_huge_pixel_leaves_no_trace_beyond_its_window():
    # Sums that add what enters and subtract what leaves would carry its rounding along.
    pixels = np.full((40, 40), 0.1, np.float32)
    pixels[20, 20] = 1.6e7
    found = local_map(pixels, np.ones(pixels.shape, bool), "variance")
    outside = np.ones(pixels.shape, bool)
    outside[17:24, 17:24] = False
    assert np.abs(found[outside]).max() < 1e-12 and found[20, 20] > 1e12


def test_values_above_the_ceiling_and_masked_pixels_count_nothing():
    pixels = np.full((20, 20), 7, np.int32)
    pixels[10, 10] = 2**30
    good = np.ones(pixels.shape, bool)
    good[5, 5] = False
    found = local_map(pixels, good, "mean")
    assert found[10, 10] == 7.0 and found[5, 5] == 0.0 and np.all(found[good] == 7.0)


def test_windows_with_too_few_pixels_give_nothing():
    pixels, good = np.full((9, 9), 5, np.int32), np.zeros((9, 9), bool)
    good[4, 4] = True
    assert not any(local_map(pixels, good, what).any() for what in LOCAL_MAPS)
    assert local_map(pixels, np.ones((9, 9), bool), "mean", min_local=0).astype(bool).sum() == 9


@pytest.mark.parametrize("min_local", [1, 50])
def test_senseless_number_of_pixels_is_refused(min_local):
    with pytest.raises(ValueError, match="choose 2 to 49"):
        least_count(min_local, (3, 3))


def test_mask_of_another_shape_is_refused():
    with pytest.raises(ShapeError, match="its mask"):
        local_map(np.zeros((3, 3), np.int32), np.ones((3, 4), bool), "mean")
