"""The radial profile threshold against its definition in plain numpy, and counts of DIALS on real images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import convolve
from spindle_threshold_radial_profile import RadialProfileThreshold
from spindle_threshold_radial_profile.quartiles import quartiles_of_levels, quartiles_of_values
from spindle_threshold_radial_profile.rings import RingCache

from spindle.images import open_image
from spindle.images.trusted import trusted_mask
from spindle.models import Detector
from spindle.params.resolve import make
from spindle.testing import as_called_by_host, shared_data
from spindle.testing.threshold import image_with_spots, threshold_beam, threshold_panel

BEAM = threshold_beam()
KERNELS = {
    "narrow": np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]),
    "wide": np.array([[1, 4, 7, 4, 1], [4, 16, 26, 16, 4], [7, 26, 41, 26, 7], [4, 16, 26, 16, 4], [1, 4, 7, 4, 1]]),
}


def find(image, mask, panel=None, corner=(0, 0), gain=1.0, **params):
    panel = threshold_panel(image.shape[1], image.shape[0]) if panel is None else panel
    threshold = as_called_by_host("threshold", RadialProfileThreshold(make(RadialProfileThreshold.Params, **params)))
    return threshold.find_strong(image, mask, gain, panel, BEAM, corner, np.ones(image.shape, np.bool_))


def by_definition(image, mask, n_iqr=6, blur=None, n_bins=100, legacy_pixels=False):
    """The rule written out."""
    height, width = image.shape
    place = 0.0 if legacy_pixels else 0.5
    x, y = np.meshgrid(np.arange(width) + place, np.arange(height) + place)
    angle = np.arctan(0.172 * np.hypot(x - width / 2, y - height / 2) / 100)
    angle -= angle.min()
    bins = np.minimum(np.floor(angle * n_bins / (angle.max() + 1e-10)).astype(int), n_bins - 1)
    if blur is not None and legacy_pixels:
        image = convolve(image.astype(float), KERNELS[blur] / KERNELS[blur].sum(), mode="nearest")
    elif blur is not None:
        weight = convolve(mask.astype(float), KERNELS[blur].astype(float), mode="constant")
        total = convolve(np.where(mask, image, 0).astype(float), KERNELS[blur].astype(float), mode="constant")
        image = np.where(weight > 0.5, total / np.maximum(weight, 1), 0)
    strong = np.zeros_like(mask)
    for b in range(n_bins):
        here = mask & (bins == b)
        if here.any():
            low, median, high = np.percentile(image[here], [25, 50, 75])
            excess = n_iqr * (high - low)
            strong[here] = image[here] > median + (excess if excess > 1 else 2)
    return strong


@pytest.fixture(scope="module")
def image():
    """Spots on a background that falls off with the angle, with dead, hot and masked pixels."""
    spots, mask, centres = image_with_spots(mean=0.0, height=60.0)
    y, x = np.mgrid[:200, :300]
    r = np.hypot(x - 149.5, y - 99.5)
    rng = np.random.default_rng(1)
    background = rng.poisson(40 * np.exp(-((r / 90) ** 2)) + 60 * np.exp(-0.5 * ((r - 80) / 2) ** 2))
    image = (spots + background).astype(np.int32)
    mask &= rng.random(mask.shape) > 0.02
    mask[:, 140:146] = False
    image[~mask] = rng.choice([-2, -1, 2**20], np.count_nonzero(~mask))
    return image, mask, centres, r


@pytest.mark.parametrize("blur", [None, "narrow", "wide"])
@pytest.mark.parametrize("legacy_pixels", [False, True])
@pytest.mark.parametrize("n_bins", [1, 37, 100])
@pytest.mark.sampled(3)
def test_result_is_that_of_the_definition(image, blur, legacy_pixels, n_bins):
    params = {"blur": blur, "legacy_pixels": legacy_pixels, "n_bins": n_bins}
    pixels, mask, _, _ = image
    expected = by_definition(pixels, mask, **params)
    found = find(pixels, mask, **params)
    assert expected.any() or n_bins == 1
    # A sum of weights may round across a limit.
    assert np.count_nonzero(found != expected) <= (0 if blur is None else 2)
    if not legacy_pixels:
        assert np.array_equal(find(pixels.astype(np.float32), mask, **params), found)


def test_a_powder_ring_is_no_spot(image):
    pixels, mask, centres, r = image
    found = find(pixels, mask, n_bins=100)
    on_ring = np.abs(r - 80) < 2
    far = np.ones_like(mask)
    for y, x in centres:
        far[max(y - 4, 0) : y + 5, max(x - 4, 0) : x + 5] = False
    assert found[far & on_ring].mean() < 0.005
    seen = mask[centres[:, 0], centres[:, 1]]
    assert found[centres[:, 0], centres[:, 1]][seen].mean() > 0.9


@pytest.mark.parametrize("blur", ["narrow", "wide"])
def test_masked_pixels_have_no_weight_in_the_blur(image, blur):
    pixels, mask, _, _ = image
    changed = np.where(mask, pixels, 10**6).astype(np.int32)
    assert np.array_equal(find(pixels, mask, blur=blur), find(changed, mask, blur=blur))
    assert not np.array_equal(
        find(pixels, mask, blur=blur, legacy_pixels=True), find(changed, mask, blur=blur, legacy_pixels=True)
    )


@pytest.mark.parametrize("offset", [-100, 5000])
def test_a_constant_changes_nothing_whatever_the_histogram_holds(image, offset):
    pixels, mask, _, _ = image
    assert np.array_equal(find(pixels + np.int32(offset), mask), find(pixels, mask))


def test_gain_scales_the_least_excess():
    # 39 photons in 1000 pixels: the quartiles are 0, so that a pixel needs more than two photons.
    photons = np.zeros((40, 25), np.int32)
    photons[::2, 3], photons[1::4, 7], photons[::5, 11] = 1, 2, 3
    mask = np.ones(photons.shape, np.bool_)
    expected = photons > 2
    assert expected.any()
    assert np.array_equal(find(photons, mask, n_bins=1), expected)
    assert np.array_equal(find(7 * photons, mask, n_bins=1, gain=7.0), expected)


def test_a_part_of_a_panel_keeps_its_angles(image):
    pixels, mask, _, _ = image
    panel = threshold_panel(300, 200)
    rings = RingCache(50, 0.5)
    whole = rings.of(panel, BEAM, (0, 0), (200, 300)).bins
    part = rings.of(panel, BEAM, (150, 100), (100, 150)).bins
    # The part begins at the beam and ends in the corner: the same range of angles.
    assert np.array_equal(part, whole[100:, 150:])
    assert rings.of(replace(panel, name="twin"), BEAM, (0, 0), (200, 300)).bins is whole
    assert find(pixels[100:, 150:].copy(), mask[100:, 150:].copy(), panel, (150, 100)).any()


def test_rings_follow_the_scattering_angle_on_a_tilted_panel():
    tilted = replace(threshold_panel(), fast_axis=np.array([np.cos(0.5), 0.0, -np.sin(0.5)]))
    bins = RingCache(30, 0.5).of(tilted, BEAM, (0, 0), (200, 300)).bins
    y, x = np.mgrid[:200, :300] + 0.5
    d = Detector([tilted]).resolution_at(0, np.stack([x.ravel(), y.ravel()], axis=1), BEAM.s0)
    order = np.argsort(2 * np.arcsin(BEAM.wavelength / (2 * d)), kind="stable")
    assert (np.diff(bins.ravel()[order].astype(int)) >= 0).all()
    assert bins.min() == 0 and bins.max() == 29


@given(st.lists(st.lists(st.integers(0, 40), max_size=30), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_quartiles_are_those_of_numpy(groups):
    counts = np.array([np.bincount(np.array(g, int), minlength=42) for g in groups], np.int32)
    ends = np.cumsum([len(g) for g in groups])
    values = np.array([v for g in groups for v in g], float)
    for median, spread in (quartiles_of_levels(counts), quartiles_of_values(values, np.append(0, ends), ends)):
        for k, g in enumerate(groups):
            low, middle, high = np.percentile(g, [25, 50, 75]) if g else (0, 0, 0)
            assert median[k] == pytest.approx(middle)
            assert spread[k] == pytest.approx(high - low)


def test_quartiles_beyond_the_histogram_are_not_guessed():
    assert quartiles_of_levels(np.array([[1, 0, 3]], np.int32)) is None


@pytest.mark.parametrize(
    ("folder", "name", "counts"),
    [
        ("thaumatin_grid", "thau_3_2_0001.cbf.bz2", {None: 1873, "wide": 6496}),
        ("lyso_small", "lyso_small_0001.cbf.bz2", {None: 2398, "narrow": 6022, "wide": 8722}),
    ],
)
def test_counts_of_dials_on_real_images(folder, name, counts):
    # The numbers are those of DIALS 3.12, whose strong pixels are the very same.
    reader = open_image(shared_data(folder) / name)
    (raw,) = reader.read(0)
    models = reader.models(0)
    panel = replace(models.detector[0], parallax="dials")
    mask = trusted_mask(raw, np.ones(raw.shape, np.bool_), *panel.trusted_range, np.empty(raw.shape, np.bool_))
    for blur, number in counts.items():
        threshold = RadialProfileThreshold(make(RadialProfileThreshold.Params, blur=blur, legacy_pixels=True))
        out = np.empty(raw.shape, np.bool_)
        assert threshold.find_strong(raw, mask, 1.0, panel, models.beam, (0, 0), out).sum() == number
