"""The dispersion thresholds against the formula written out, properties, and counts of DIALS on real images."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_erosion, convolve
from spindle_threshold_dispersion import DispersionThreshold
from spindle_threshold_dispersion_extended import DispersionExtendedThreshold

from spindle.errors import ParameterError
from spindle.images import open_image
from spindle.images.trusted import trusted_mask
from spindle.testing import as_called_by_host, shared_data
from spindle.testing.threshold import arguments_of, image_with_spots

CEILING = 2**24


def window_sums(values, half_y, half_x):
    """Sums over windows clipped at the edges."""
    return convolve(values, np.ones((2 * half_y + 1, 2 * half_x + 1)), mode="constant")


def dispersion_test(image, mask, p, gain):
    """m, x and where m y - x^2 > g x (m - 1 + n_b sqrt(2 (m - 1))), from the definition."""
    ky, kx = p.kernel_size
    good = mask & (image < CEILING)
    value = np.where(good, image, 0).astype(np.float64)
    m, x, y = (np.round(window_sums(v, ky, kx)) for v in (good.astype(np.float64), value, value**2))
    full = (2 * ky + 1) * (2 * kx + 1)
    least = p.min_local if p.min_local > 0 else full
    limit = gain * x * (m - 1 + p.sigma_background * np.sqrt(2 * np.maximum(m - 1, 0)))
    return m, x, (m >= least) & (x >= 0) & (m * y - x * x > limit)


def naive_dispersion(image, mask, p, gain):
    m, x, wild = dispersion_test(image, mask, p, gain)
    stands_out = m * image - x > p.sigma_strong * np.sqrt(np.maximum(gain * x * m, 0))
    return mask & wild & (image > p.global_threshold) & stands_out


def naive_extended(image, mask, p, gain):
    ky, kx = p.kernel_size
    _, _, wild = dispersion_test(image, mask, p, gain)
    wild = wild & mask if p.legacy_erosion else wild | ~mask
    size = 2 * min(ky, kx) - 1
    core = binary_erosion(wild, np.ones((size, size)), border_value=1)
    background = mask & ~core & (image < CEILING)
    m = np.round(window_sums(background.astype(np.float64), ky + 2, kx + 2))
    x = np.round(window_sums(np.where(background, image, 0).astype(np.float64), ky + 2, kx + 2))
    mean = np.where(m >= 2, x / np.maximum(m, 1), 0.0)
    level = mean + p.sigma_strong * np.sqrt(np.maximum(gain * mean, 0))
    return mask & core & (image > p.global_threshold) & (x >= 0) & (image >= level)


KINDS = [(DispersionThreshold, naive_dispersion), (DispersionExtendedThreshold, naive_extended)]


def make(cls, **values):
    return as_called_by_host("threshold", cls(cls.Params(**values)))


def find(plugin, image, mask, gain=1.0):
    return plugin.find_strong(**arguments_of(image, mask, gain)).copy()


def spotty_image(seed, shape=(70, 90)):
    """Spots, a hot pixel, a gap of masked pixels, single bad pixels, a saturated pixel and an empty corner."""
    rng = np.random.default_rng(seed)
    image, mask, _ = image_with_spots(
        shape, mean=rng.uniform(0.2, 30), height=rng.uniform(20, 3000), n_spots=8, seed=seed
    )
    for _ in range(5):
        y, x, h, w = rng.integers(0, shape[0]), rng.integers(0, shape[1]), rng.integers(2, 9), rng.integers(2, 9)
        image[y : y + h, x : x + w] += rng.poisson(rng.uniform(1, 500), image[y : y + h, x : x + w].shape)
    row, column = rng.integers(5, 60), rng.integers(5, 80)
    mask[row : row + rng.integers(1, 8)] = False
    mask[:, column : column + rng.integers(1, 5)] = False
    mask[rng.random(shape) < 0.01] = False
    image[rng.integers(0, shape[0]), rng.integers(0, shape[1])] = 2**24 + 5
    image[-8:, -9:] = 0
    image[~mask] = rng.choice([-1, -2, 2**20], np.count_nonzero(~mask))
    return image, mask


@pytest.mark.parametrize(("cls", "naive"), KINDS)
@pytest.mark.parametrize("kernel", [(3, 3), (1, 1), (2, 5), (6, 4)])
@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_the_formula_written_out(cls, naive, kernel, seed):
    image, mask = spotty_image(seed)
    gain = 1.0 + 0.4 * (seed == 1)
    options = {
        "kernel_size": kernel,
        "min_local": [2, 0, 20, 3][seed] if kernel != (1, 1) else 2,
        "global_threshold": [0, 0, 3.0, 0][seed],
    }
    plugin = make(cls, **options)
    expected = naive(image, mask, plugin.params, gain)
    assert expected.any() or options["min_local"] != 2
    assert np.array_equal(find(plugin, image, mask, gain), expected)
    assert np.array_equal(find(plugin, image.astype(np.float32), mask, gain), expected)


@pytest.mark.parametrize("seed", range(3))
def test_old_erosion_agrees_with_the_formula_written_out(seed):
    image, mask = spotty_image(seed)
    plugin = make(DispersionExtendedThreshold, legacy_erosion=True)
    assert np.array_equal(find(plugin, image, mask), naive_extended(image, mask, plugin.params, 1.0))


@pytest.mark.parametrize(("cls", "naive"), KINDS)
def test_gain_may_differ_from_pixel_to_pixel(cls, naive):
    image, mask = spotty_image(3)
    gain = np.random.default_rng(0).uniform(0.7, 2.0, image.shape)
    plugin = make(cls)
    assert np.array_equal(find(plugin, image, mask, gain), naive(image, mask, plugin.params, gain))


@pytest.mark.parametrize("cls", [cls for cls, _ in KINDS])
def test_gain_parameter_is_the_gain_of_all_pixels(cls):
    image, mask = spotty_image(2)
    assert np.array_equal(find(make(cls, gain=1.7), image, mask), find(make(cls), image, mask, 1.7))


@pytest.mark.parametrize("cls", [cls for cls, _ in KINDS])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_transposed_image_with_swapped_window_gives_the_transposed_result(cls, seed):
    image, mask = spotty_image(seed)
    upright = find(make(cls, kernel_size=(3, 4)), image, mask)
    turned = find(make(cls, kernel_size=(4, 3)), np.ascontiguousarray(image.T), np.ascontiguousarray(mask.T))
    assert np.array_equal(upright, turned.T)


@pytest.mark.parametrize("cls", [cls for cls, _ in KINDS])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), dy=st.integers(0, 11), dx=st.integers(0, 11))
def test_result_moves_with_the_image(cls, seed, dy, dx):
    image, mask = spotty_image(seed)
    shifted, shifted_mask = np.zeros((90, 110), np.int32), np.zeros((90, 110), np.bool_)
    shifted[dy : dy + 70, dx : dx + 90], shifted_mask[dy : dy + 70, dx : dx + 90] = image, mask
    plugin = make(cls)
    # In a frame of masked pixels the old erosion would differ at the former edges; the new rule treats both alike.
    assert np.array_equal(find(plugin, shifted, shifted_mask)[dy : dy + 70, dx : dx + 90], find(plugin, image, mask))


def test_masking_more_pixels_changes_nothing_out_of_reach():
    image, mask = spotty_image(5)
    plugin = make(DispersionThreshold)
    before = find(plugin, image, mask)
    mask[30:34, 40:44] = False
    after = find(plugin, image, mask)
    far = np.ones_like(mask)
    far[27:37, 37:47] = False
    assert np.array_equal(before[far], after[far])


def test_pedestal_in_float_images_leaves_the_variance_alone():
    # 1e6 counts of pedestal and a spot of 1e5: squares of 1e12 must not drown a variance of 1e6.
    rng = np.random.default_rng(1)
    image = rng.normal(1e6, 1e3, (60, 60)).astype(np.float32)
    image[30:33, 30:33] += 3e5
    mask = np.ones(image.shape, np.bool_)
    plugin = make(DispersionThreshold)
    assert np.array_equal(
        find(plugin, image, mask), naive_dispersion(image.astype(np.float64), mask, plugin.params, 1.0)
    )


def test_false_positives_on_poisson_noise_are_rare():
    image = np.random.default_rng(3).poisson(4.0, (1000, 1000)).astype(np.int32)
    mask = np.ones(image.shape, np.bool_)
    # Both tests at once need 6 standard deviations of the variance: fewer than 1 pixel in 10,000.
    for cls, _ in KINDS:
        assert find(make(cls), image, mask).mean() < 1e-4


@pytest.mark.parametrize("cls", [cls for cls, _ in KINDS])
def test_estimated_threshold_is_applied(cls):
    from spindle.params import Auto
    from spindle_lib_dispersion.global_threshold import estimate_global_threshold

    image, mask = spotty_image(4)
    limit = estimate_global_threshold(image, mask)
    assert limit > 0
    assert np.array_equal(
        find(make(cls, global_threshold=Auto), image, mask), find(make(cls, global_threshold=limit), image, mask)
    )


@pytest.mark.parametrize("cls", [cls for cls, _ in KINDS])
def test_impossible_parameters_are_refused(cls):
    with pytest.raises(ParameterError, match=r"min_local=50.*choose 2 to 49"):
        make(cls, min_local=50)
    with pytest.raises(ParameterError, match="gain=0"):
        make(cls, gain=0)


@pytest.mark.parametrize(
    ("number", "dispersion", "extended", "extended_new"),
    # Strong pixels of DIALS 3.12.1 (dials.algorithms.image.threshold, defaults); the last column is the newer masking
    # rule.
    [(1, 2172, 3601, 3727), (2, 11368, 23491, 24351), (3, 13188, 29868, 31061)],
)
def test_strong_pixels_of_real_thaumatin_images_are_those_of_dials(number, dispersion, extended, extended_new):
    reader = open_image(shared_data("thaumatin_grid") / f"thau_3_2_{number:04d}.cbf.bz2")
    image = reader.read(0)[0]
    panel = reader.models(0).detector[0]
    static = np.ones(image.shape, np.bool_) if reader.mask() is None else reader.mask()[0]
    for f0, s0, f1, s1 in panel.mask:
        static[s0:s1, f0:f1] = False
    mask = trusted_mask(image, static, *panel.trusted_range, np.empty(image.shape, np.bool_))
    assert find(make(DispersionThreshold), image, mask).sum() == dispersion
    assert find(make(DispersionExtendedThreshold, legacy_erosion=True), image, mask).sum() == extended
    assert find(make(DispersionExtendedThreshold), image, mask).sum() == extended_new
    if number == 1:
        assert find(make(DispersionThreshold, gain=1.3), image, mask).sum() == 1780
        assert find(make(DispersionExtendedThreshold, gain=1.3, legacy_erosion=True), image, mask).sum() == 2959
