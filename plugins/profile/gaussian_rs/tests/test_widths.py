"""How widths of spots grow with the diffraction angle."""

from __future__ import annotations

from math import erf

import numpy as np
import pytest
from scipy import special
from spindle_profile_gaussian_rs.sigma import estimate_sigma_m, line_of_widths, refine_sigma_m, refine_widths

S, G = 6e-4, 2e-3
#: Growth in bins of equal population: most are low, the last lies near the rotation axis.
X = np.concatenate([np.linspace(0.01, 0.5, 18), [1.2, 40.0]])


@pytest.mark.parametrize("cut", [1.0, 0.8, 0.3])
def test_a_bin_that_is_cut_off_changes_little(cut):
    """Spots near the rotation axis are long, and boxes hold only a part of them."""
    y = S**2 + G**2 * X
    y[-1] *= cut
    assert line_of_widths(X, y, 0.04 * S**2) == pytest.approx((S, G), rel=0.02)


@pytest.mark.parametrize("seed", range(5))
def test_both_numbers_come_back_from_noise(seed):
    y = (S**2 + G**2 * X) * np.exp(np.random.default_rng(seed).normal(0, 0.05, len(X)))
    assert line_of_widths(X, y, 0.04 * S**2) == pytest.approx((S, G), rel=0.1)


def test_widths_that_do_not_grow_have_one_number():
    s, g = line_of_widths(X, np.full(len(X), S**2), 0.04 * S**2)
    assert s == pytest.approx(S, rel=1e-3)
    assert g < 0.05 * S
    s, g = line_of_widths(X, S**2 * (1 - 0.002 * X), 0.04 * S**2)
    assert s == pytest.approx(S, rel=0.02)
    assert g < 0.05 * S


def test_a_width_that_only_grows_has_the_floor():
    s, g = line_of_widths(X, G**2 * X, 1e-9)
    assert s**2 == pytest.approx(1e-9, rel=0.1)
    assert g == pytest.approx(G, rel=0.05)


@pytest.mark.parametrize("y", [[S**2], [0.0, S**2, S**2], [-1.0, -1.0, -1.0, -1.0]])
def test_few_or_absurd_points_give_a_width(y):
    s, g = line_of_widths(np.arange(len(y), dtype=float), np.array(y), 0.04 * S**2)
    assert s >= 0.2 * S * 0.999
    assert np.isfinite(s) and np.isfinite(g)


@pytest.mark.parametrize("neighbours", [False, True])
@pytest.mark.parametrize("wrong", [0.8, 1.0, 1.25])
def test_widths_are_those_of_the_foreground_whatever_lies_beside_the_spots(neighbours, wrong):
    """1.2 and 0.7 pixels along e1 and e2, foregrounds of three widths of a model that is wrong; half of the spots share pixels."""
    rng = np.random.default_rng(11)
    n, true, length = 240, np.array([1.2, 0.7]), 1e4
    model = true * wrong
    frames, mask, data, bbox = np.zeros((n, 15)), [], [], []
    for r in range(n):
        dx, dy = rng.uniform(-0.5, 0.5, 2)
        x0, y0 = 100 + 30 * r, 50
        centre = np.array([x0 + 9.5 + dx, y0 + 9.5 + dy])
        frames[r, 0], frames[r, 4] = length / model
        frames[r, 6], frames[r, 10] = 1.0, 1.0
        frames[r, 12:] = -centre[0], -centre[1], length
        x, y = np.meshgrid(np.arange(x0, x0 + 19), np.arange(y0, y0 + 19))
        inside = ((x + 0.5 - centre[0]) / model[0]) ** 2 + ((y + 0.5 - centre[1]) / model[1]) ** 2 < 9.0
        spots = [(centre, 3000.0)]
        bits = np.where(inside, 5, 3).astype(np.uint8)
        if neighbours and r % 2:
            other = centre + (3.5 * true[0], 0.8)
            spots.append((other, 5000.0))
            bits[inside & (((x + 0.5 - other[0]) / model[0]) ** 2 + ((y + 0.5 - other[1]) / model[1]) ** 2 < 9.0)] |= 32
        mean = np.full((19, 19), 0.5)
        for at, counts in spots:
            share = [
                np.diff([0.5 * erf((v - at[k]) / (true[k] * 2**0.5)) for v in np.arange(s, s + 20)])
                for k, s in enumerate((x0, y0))
            ]
            mean += counts * np.outer(share[1], share[0])
        mask.append(bits.ravel())
        data.append(rng.poisson(mean).ravel())
        bbox.append([x0, x0 + 19, y0, y0 + 19, 0, 1])
    offsets = np.arange(n + 1) * 19 * 19
    widths = np.broadcast_to(model / length, (n, 2)).copy()
    found = refine_widths(
        frames, np.array(bbox, np.int32), offsets[:-1], offsets[1:], np.concatenate(data).astype(np.float32),
        np.concatenate(mask), np.full(n, 0.5), np.full(n, 3.0), np.full(n, 0.5), widths, rng.uniform(0.1, 1.0, (n, 2)), 2000.0,
    )  # fmt: skip
    typical = np.sqrt(found[:, 0] ** 2 + 0.55 * found[:, 1] ** 2) * length
    photons = rng.normal(0.0, true, (400_000, 2)) + rng.uniform(-0.5, 0.5, (400_000, 2))  # centres of their pixels
    caught = photons[((photons / model) ** 2).sum(1) < 9.0]
    np.testing.assert_allclose(typical, np.sqrt((caught**2).mean(0) - 1.0 / 12.0), rtol=0.02)


def turning_spots(width, n=300, seed=4):
    """Spots of 2000 counts, 1 pixel wide, ``width`` images deep, on a background of 1: boxes, counts, images of their middles, local frames."""
    rng = np.random.default_rng(seed)
    depth = 2 * int(np.ceil(3.2 * width)) + 1
    z, xy = depth / 2 + rng.uniform(-0.5, 0.5, n), 5.5 + rng.uniform(-0.5, 0.5, (n, 2))

    def shares(middle, sigma, size):
        return 0.5 * np.diff(special.erf((np.arange(size + 1) - middle[:, None]) / (sigma * 2**0.5)), axis=1)

    across = shares(xy[:, 1], 1.0, 11)[:, None, :, None] * shares(xy[:, 0], 1.0, 11)[:, None, None, :]
    counts = rng.poisson(2000.0 * shares(z, width, depth)[:, :, None, None] * across + 1.0).astype(np.float32)
    frames, far = np.zeros((n, 15)), 1e4
    frames[:, 0] = frames[:, 4] = far
    frames[:, 6] = frames[:, 10] = 1.0
    frames[:, 12], frames[:, 13], frames[:, 14] = -xy[:, 0], -xy[:, 1], far
    return np.tile(np.array([0, 11, 0, 11, 0, depth], np.int32), (n, 1)), counts, z, frames


@pytest.mark.parametrize("width", [0.6, 1.5])
@pytest.mark.parametrize("wrong", [0.9, 1.2])
def test_sigma_m_of_whole_spots_is_that_of_their_rocking_curves(width, wrong):
    """Also where a neighbour, whose pixels are marked, hides a side of every third spot on its last images."""
    bbox, counts, z, frames = turning_spots(width)
    mask = np.full(counts.shape, 5, np.uint8)
    mask[::3, counts.shape[1] // 2 + 1 :, :, 6:] |= 32
    counts[::3, counts.shape[1] // 2 + 1 :, :, 6:] += 100.0
    offsets = np.arange(len(z) + 1) * counts[0].size
    factor = refine_sigma_m(
        frames, bbox, offsets[:-1], offsets[1:], counts.ravel(), mask.ravel(), np.ones(len(z)), np.full(len(z), 1.0 / (wrong * width)), z,
        2000.0,
    )  # fmt: skip
    assert wrong * factor == pytest.approx(1.0, abs=0.01)


def test_strong_pixels_alone_make_sigma_m_too_small():
    bbox, counts, z, _ = turning_spots(1.5)
    offsets = np.arange(len(z) + 1) * counts[0].size
    strong = np.where(counts >= 6, 5, 3).astype(np.uint8).ravel()
    kappa = np.full(len(z), 1e-3)
    of_strong = estimate_sigma_m(kappa, z, bbox, offsets, counts.ravel() - 1.0, strong)
    assert 0.9 < of_strong / 1.5e-3 < 0.98


def test_images_wider_than_rocking_curves_leave_sigma_m():
    bbox, counts, z, frames = turning_spots(0.3)
    offsets = np.arange(len(z) + 1) * counts[0].size
    pixels = bbox, offsets[:-1], offsets[1:], counts.ravel(), np.full(counts.size, 5, np.uint8), np.ones(len(z))
    assert refine_sigma_m(frames, *pixels, np.full(len(z), 1 / 0.3), z, 2000.0) is None
    assert refine_sigma_m(frames[:9], bbox[:9], *pixels[1:], np.ones(9), z[:9], 2000.0) is None
