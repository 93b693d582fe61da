"""Stray hits in foregrounds are masked; what a profile is wrong by is not."""

from __future__ import annotations

import numpy as np
import pytest
from spindle_program_integrate.zinger_kernels import mask_lone
from spindle_program_integrate.zingers import mask_zingers

from spindle.table import MaskCode, ReflectionTable, Shoeboxes

EDGE, DEPTH = 11, 5
BACKGROUND = 0.8


def spot(width):
    """(DEPTH, EDGE, EDGE) float64: share of the photons in each pixel, 1 in all, of a spot a bit off the middle."""
    z, y, x = np.mgrid[0:DEPTH, 0:EDGE, 0:EDGE] + 0.5
    shape = np.exp(-((x - 5.7) ** 2 + (y - 5.4) ** 2) / (2 * width**2) - (z - 2.6) ** 2 / (2 * 0.8**2))
    return shape / shape.sum()


class Fitter:
    """Knows a profile, right or wrong."""

    def __init__(self, width):
        self.profile = spot(width)

    def expected_counts(self, reflections, shoeboxes, intensity):
        return (np.asarray(intensity)[:, None] * self.profile.ravel()).ravel().astype(np.float32)


def boxes(counts, width, rng):
    n = len(counts)
    data = rng.poisson(np.asarray(counts)[:, None] * spot(width).ravel() + BACKGROUND).astype(np.float32)
    foreground = spot(1.2) > 2e-4
    mask = np.where(foreground, MaskCode.FOREGROUND, MaskCode.BACKGROUND).astype(np.uint8) | np.uint8(MaskCode.VALID)
    bbox = np.tile(np.array([0, EDGE, 0, EDGE, 0, DEPTH], np.int32), (n, 1))
    offsets = np.arange(n + 1) * data.shape[1]
    background = np.full(data.size, BACKGROUND, np.float32)
    return Shoeboxes(
        np.zeros(n, np.int64), bbox, offsets, data.ravel(), np.tile(mask.ravel(), n), background
    ), foreground


def searched(some, counts, foreground, width):
    data = some.data.reshape(len(some), -1)
    summed = (data - BACKGROUND)[:, foreground.ravel()].sum(axis=1)
    return mask_zingers(
        Fitter(width), ReflectionTable.with_rows(len(some), ["d"]), some, summed, np.asarray(counts) + 60.0,
        np.asarray(counts, float), np.ones(len(some), bool),
    )  # fmt: skip


def at(z, y, x):
    return (z * EDGE + y) * EDGE + x


@pytest.mark.parametrize("counts", [0.0, 30.0, 400.0, 20000.0])
def test_single_hits_are_masked_with_what_they_left_beside(counts):
    rng = np.random.default_rng(5)
    n = 60
    some, foreground = boxes(np.full(n, counts), 1.0, rng)
    hit = np.arange(n) % 2 == 0
    data = some.data.reshape(n, -1)
    # beyond what counting and a tenth of the spot allow
    energy = 200.0 + 0.4 * counts
    data[hit, at(2, 7, 4)] += energy
    data[hit, at(2, 7, 5)] += 0.3 * energy
    found = searched(some, np.full(n, counts), foreground, 1.0)
    assert found.tolist() == hit.tolist()
    bad = (some.mask.reshape(n, -1) & MaskCode.VALID) == 0
    assert bad[:, at(2, 7, 4)].tolist() == hit.tolist() and bad[:, at(2, 7, 5)].tolist() == hit.tolist()
    assert bad.sum() <= 2 * hit.sum() + 2


def test_no_spot_loses_a_pixel_to_counting_or_to_a_profile_that_is_wrong():
    rng = np.random.default_rng(6)
    counts = np.geomspace(1.0, 1e6, 400)
    for width, modelled in ((1.0, 1.0), (0.75, 1.0), (1.3, 1.0)):
        some, foreground = boxes(counts, width, rng)
        assert not searched(some, counts, foreground, modelled).any(), (width, modelled)


def test_pixels_under_other_spots_are_left_alone():
    some, foreground = boxes(np.full(3, 100.0), 1.0, np.random.default_rng(7))
    some.data.reshape(3, -1)[:, at(2, 7, 4)] += 500.0
    some.mask.reshape(3, -1)[1, at(2, 7, 4)] |= np.uint8(MaskCode.OVERLAPPED)
    assert searched(some, np.full(3, 100.0), foreground, 1.0).tolist() == [True, False, True]


def test_a_spot_sharper_than_its_profile_keeps_its_middle():
    y, x = np.mgrid[-3:4, -3:4]
    wide, sharp = (np.exp(-0.5 * (x**2 + y**2) / s**2) / (2 * np.pi * s**2) for s in (0.75, 0.6))
    intensity, image = 8000.0, np.array([0.0, 1.0, 0.0])[:, None, None]
    model, data = (1.0 * (image * intensity * shape).ravel().astype(np.float32) for shape in (wide, sharp))
    background = np.full(data.size, 0.2, np.float32)
    data += background
    # the middle exceeds the model by more than a tenth of the spot
    assert (data - background - model).max() > 0.1 * intensity
    bbox, offsets = np.array([[0, 7, 0, 7, 0, 3]], np.int32), np.array([0, data.size])
    for stray, expected in ((0.0, 0), (3000.0, 1)):
        struck, mask, hit = data.copy(), np.full(data.size, 5, np.uint8), np.zeros(1, np.int64)
        struck[49 + 7 * 1 + 5] += stray
        mask_lone(bbox, offsets, struck, mask, background, model, np.array([intensity]), hit)
        assert hit[0] == expected
