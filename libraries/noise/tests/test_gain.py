"""Correcting raw values, and the gain that the scatter of pixels tells."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spindle.errors import FileFormatError, UserError
from spindle.files import write_map
from spindle.images import ImageSequence
from spindle.images.correction import correct_shoeboxes, corrections_of
from spindle.models import Beam, Detector, Experiment, ImageSet, Scan
from spindle.testing.threshold import image_with_spots, threshold_panel
from spindle_lib_noise.gain import chosen_images, estimate_gain, gain_of_windows
from spindle_lib_noise.windows import window_statistics
from spindle_lib_readers.testing.mini_cbf import write_mini_cbf

SHAPE = (200, 300)


def sequence(folder, images, **panel):
    for i, image in enumerate(images):
        write_mini_cbf(folder / f"g_{i + 1:04d}.cbf", image.astype(np.int32), compress=False)
    return ImageSequence(
        Experiment(
            beam=Beam(direction=[0, 0, 1], wavelength=1.0),
            detector=Detector([replace(threshold_panel(SHAPE[1], SHAPE[0]), **panel)]),
            scan=Scan((1, len(images)), (0.0, 0.1)),
            imageset=ImageSet(template=str(folder / "g_####.cbf"), image_range=(1, len(images))),
        )
    )


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_window_statistics_are_those_of_numpy(dtype):
    rng = np.random.default_rng(0)
    image, good = rng.poisson(20, (23, 31)).astype(dtype), rng.random((23, 31)) > 0.3
    image[3, 4] = 2**25  # left out
    count, mean, dispersion = window_statistics(image, good, (3, 2), (5, 4))
    assert count.shape == (5, 8)
    for q, y in enumerate(range(0, 23, 5)):
        for p, x in enumerate(range(0, 31, 4)):
            part = slice(max(y - 3, 0), y + 4), slice(max(x - 2, 0), x + 3)
            values = image[part][good[part] & (image[part] < 2**24)].astype(np.float64)
            assert count[q, p] == len(values)
            assert mean[q, p] == pytest.approx(values.mean())
            assert dispersion[q, p] == pytest.approx(values.var(ddof=1) / values.mean())


@pytest.mark.parametrize("gain", [0.7, 1.0, 8.0])
@pytest.mark.parametrize("mean", [0.2, 30.0])
def test_gain_is_found_under_spots_and_on_few_counts(gain, mean, tmp_path):
    rng = np.random.default_rng(3)
    spots, _, _ = image_with_spots(SHAPE, mean=0.0, n_spots=25, seed=1)
    photons = [spots + rng.poisson(mean, SHAPE) for _ in range(2)]
    images = sequence(tmp_path, [np.rint(1000 * gain * p + 500) for p in photons], pedestal=500.0)
    found = estimate_gain(images, indices=(0, 1))
    # About 100 windows of 441 pixels that agree, each good to sqrt(2 / 440): 0.7 % for the mean.
    assert found.gain == pytest.approx(1000 * gain, rel=0.03)
    assert found.of_images == pytest.approx(1000 * gain, rel=0.04)
    assert found.of_panels[0] == found.gain
    assert found.n_used <= len(found.dispersion)


def test_what_is_left_after_the_known_gain(tmp_path):
    photons, _, _ = image_with_spots(SHAPE, mean=20.0)
    images = sequence(tmp_path, [6 * photons + 10], gain=3.0, pedestal=10.0)
    assert estimate_gain(images).gain == pytest.approx(6.0, rel=0.03)
    assert estimate_gain(images, corrected=True).gain == pytest.approx(2.0, rel=0.03)


def test_map_follows_the_gain_within_a_panel(tmp_path):
    rng = np.random.default_rng(5)
    gain = np.full(SHAPE, 2.0)
    gain[:, 150:] = 2.2
    images = sequence(tmp_path, [gain * 10 * rng.poisson(50, SHAPE) for _ in range(8)])
    (found,) = estimate_gain(images, indices=range(8), with_maps=True).maps
    assert found[:, :139].mean() == pytest.approx(20.0, rel=0.02)
    assert found[:, 161:].mean() == pytest.approx(22.0, rel=0.02)


def test_an_empty_image_tells_nothing(tmp_path):
    with pytest.raises(UserError, match="gain cannot be estimated"):
        estimate_gain(sequence(tmp_path, [np.zeros(SHAPE)]))
    assert np.isnan(gain_of_windows(np.ones(0, int), np.ones(0), np.ones(0))[0])


def test_images_are_chosen_evenly():
    assert chosen_images(10, 3) == (0, 4, 9)
    assert chosen_images(2, 5) == (0, 1)
    assert chosen_images(100, 1) == (0,)


def test_maps_take_the_place_of_the_panels_numbers(tmp_path):
    rng = np.random.default_rng(6)
    gain, pedestal = rng.uniform(1, 2, SHAPE), rng.uniform(0, 9, SHAPE)
    gain[4, 5], pedestal[7, 8] = 0, np.nan
    write_map(tmp_path / "gain.npz", [gain])
    write_map(tmp_path / "pedestal.h5", [pedestal])
    raw = rng.poisson(40, SHAPE).astype(np.int32)
    images = sequence(tmp_path, [raw], gain=5.0, pedestal=100.0)
    assert not images.corrections[0].has_maps
    with_maps = replace(images.imageset, gain=str(tmp_path / "gain.npz"), pedestal=str(tmp_path / "pedestal.h5"))
    images = ImageSequence(replace(images.experiment, imageset=with_maps))
    (correction,) = images.corrections
    good = images.mask()
    assert np.argwhere(~good).tolist() == [[4, 5], [7, 8]]
    true = (raw[good] - pedestal[good]) / gain[good]
    assert np.allclose(correction.apply(raw, np.empty(SHAPE, np.float32))[good], true, rtol=1e-6, atol=1e-5)
    part = correction.cut(10, 30, 20, 40).apply(raw[20:40, 10:30], np.empty((20, 20), np.float32))
    assert np.array_equal(part, correction.apply(raw, np.empty(SHAPE, np.float32))[20:40, 10:30])
    bbox = np.array([[10, 14, 20, 23, 0, 2], [-2, 3, 198, 202, 0, 1], [50, 52, 50, 52, 0, 1]], np.int32)
    offsets = np.array([0, 24, 44, 44])  # the last shoebox has no pixels
    data = np.full(44, 60, np.float32)
    correct_shoeboxes(images.corrections, np.zeros(3, int), bbox, offsets, data)
    gain[4, 5] = 1  # what is made of a bad pixel does not matter
    value = (60 - pedestal) / gain
    assert np.allclose(data[:24].reshape(2, 3, 4), value[20:23, 10:14], rtol=1e-6)
    expected = np.full((4, 5), 60.0)
    expected[:2, 2:] = value[198:, :3]
    assert np.allclose(data[24:].reshape(4, 5), expected, rtol=1e-6)


def test_image_sets_that_name_the_same_maps_share_them(tmp_path):
    write_map(tmp_path / "gain.npz", [np.full(SHAPE, 2.0)])
    detector = Detector([threshold_panel(300, 200)])
    sets = [ImageSet(template=t, gain=str(tmp_path / "gain.npz")) for t in ("a_#.cbf", "b_#.cbf")]
    (first,), (second,) = (corrections_of(s, detector) for s in sets)
    assert first is second
    assert first.of_value(10.0) is second.of_value(10.0)
    assert (first.of_value(10.0) == 5.0).all()
    write_map(tmp_path / "gain.npz", [np.full(SHAPE, 4.0)])
    assert corrections_of(sets[0], detector)[0].gain[0, 0] == 4.0
    assert corrections_of(sets[0], Detector([threshold_panel(300, 200)]))[0] is not first


def test_a_map_of_another_detector_is_refused(tmp_path):
    write_map(tmp_path / "gain.npz", [np.ones((3, 4))])
    imageset = ImageSet(template="x_####.cbf", gain=str(tmp_path / "gain.npz"))
    with pytest.raises(FileFormatError, match=r"gain map has 1 array of 3 x 4.*200 x 300"):
        corrections_of(imageset, Detector([threshold_panel(300, 200)]))


def test_windows_without_spots_decide_even_where_most_have_spots():
    rng = np.random.default_rng(5)
    clean = 3.0 * rng.chisquare(440, 60) / 440
    spots = 10.0 ** rng.uniform(1.0, 3.5, 300)
    count = np.full(360, 441)
    gain, used = gain_of_windows(count, np.full(360, 90.0), np.concatenate([clean, spots]))
    assert gain == pytest.approx(3.0, abs=0.05)
    assert used[:60].all() and not used[60:].any()
