"""Backgrounds of spots that lie among others."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from spindle_program_integrate.crowded import Surroundings, among_neighbours
from spindle_program_integrate.crowded_kernels import boxes_near
from spindle_program_integrate.overlaps import spot_cells

from spindle.contracts.background import BackgroundEstimate
from spindle.table import MaskCode, ReflectionTable, Shoeboxes

SIGMA, RADIUS = 2.5, 7  # px
MEAN, LEVEL = 60.0, 0.7  # counts of a spot and of a pixel


@dataclass
class RoundSpots:
    """A fitter of round Gaussian spots, the same on each image."""

    asked: list[int] = field(default_factory=list)

    def expected_counts(self, reflections: ReflectionTable, shoeboxes: Shoeboxes, intensity: np.ndarray) -> np.ndarray:
        self.asked.append(len(reflections))
        out = []
        for xyz, (x0, x1, y0, y1, z0, z1) in zip(reflections["xyzcal.px"], shoeboxes.bbox.tolist(), strict=True):
            out.append(np.repeat(round_spot(xyz, x0, x1, y0, y1)[None], z1 - z0, axis=0).ravel() / 2)
        return np.concatenate(out).astype(np.float32)


def round_spot(xyz, x0, x1, y0, y1):
    px, py = np.arange(x0, x1) + 0.5 - xyz[0], np.arange(y0, y1) + 0.5 - xyz[1]
    return np.exp(-0.5 * (px**2 + py[:, None] ** 2) / SIGMA**2) / (2 * np.pi * SIGMA**2)


def crowd(seed, background=None, expected=MEAN):
    """Spots on a lattice of 11 pixels, with their shoeboxes of two images: estimate, surroundings, boxes."""
    rng = np.random.default_rng(seed)
    at = np.stack(np.meshgrid(np.arange(6) * 11.0 + 20, np.arange(6) * 11.0 + 20), axis=-1).reshape(-1, 2)
    n = len(at)
    xyz = np.column_stack([at + rng.uniform(-2, 2, (n, 2)), np.full(n, 1.0)])
    truth = rng.exponential(MEAN, n)
    image = np.full((95, 95), LEVEL) + sum(
        0.5 * i * round_spot(c, 0, 95, 0, 95) for i, c in zip(truth, xyz, strict=True)
    )
    data = rng.poisson(np.stack([image, image])).astype(np.float32)
    low = np.floor(xyz[:, :2]).astype(np.int32) - 14
    bbox = np.column_stack([low[:, 0], low[:, 0] + 29, low[:, 1], low[:, 1] + 29, np.zeros(n), np.full(n, 2)])
    boxes = Shoeboxes.empty(np.zeros(n, np.int64), bbox.astype(np.int32))
    for i, (x0, x1, y0, y1) in enumerate(boxes.bbox[:, :4].tolist()):
        part = slice(boxes.offsets[i], boxes.offsets[i + 1])
        boxes.data[part] = data[:, y0:y1, x0:x1].ravel()
        far = np.hypot(np.arange(x0, x1) + 0.5 - xyz[i, 0], np.arange(y0, y1)[:, None] + 0.5 - xyz[i, 1])
        code = np.where(far < RADIUS, MaskCode.FOREGROUND, np.where(far < 1.5 * RADIUS, 0, MaskCode.BACKGROUND))
        boxes.mask[part] = np.tile(code.ravel(), 2) | MaskCode.VALID
    level = np.full(len(boxes.data), 1.3 * LEVEL if background is None else background, np.float32)
    used = (boxes.mask & MaskCode.BACKGROUND) != 0
    estimate = BackgroundEstimate.from_pixels(
        boxes, level, used.copy(), np.full(n, background != 0.0), mean=level[boxes.offsets[:-1]]
    )
    geometry = ReflectionTable({"panel": np.zeros(n, np.uint64), "xyzcal.px": xyz})
    return boxes, estimate, Surroundings(np.arange(n), boxes.bbox, geometry, np.full(n, expected))


@pytest.mark.parametrize("background", [None, 0.0])  # too high; the plugin failed
@pytest.mark.parametrize("expected", [MEAN, -1.0])
def test_backgrounds_among_spots_are_right_and_so_are_their_sigmas(background, expected):
    """Pixels around each hold 40 % more than the background. Spots in the middle, whose neighbours are all there."""
    z, means = [], []
    for seed in range(12):
        boxes, estimate, around = crowd(seed, background, expected)
        some = np.array([r * 6 + c for r in (2, 3) for c in (2, 3)])
        found, variance = among_neighbours(RoundSpots(), some, np.arange(36), boxes, estimate, around)
        assert found.success[some].all() and np.all(variance[some] > 0)
        means += found.mean[some].tolist()
        assert found.background[boxes.offsets[some]] == pytest.approx(found.mean[some], rel=1e-5)
        z += ((found.mean[some] - LEVEL) / np.sqrt(variance[some])).tolist()
        others = np.setdiff1d(np.arange(36), some)
        assert np.all(variance[others] == -1) and np.array_equal(found.mean[others], estimate.mean[others])
    raw = np.mean(
        [
            boxes.data[boxes.offsets[i] : boxes.offsets[i + 1]][
                boxes.mask[boxes.offsets[i] : boxes.offsets[i + 1]] == 3
            ].mean()
            for i in some
        ]
    )
    assert raw > 1.25 * LEVEL
    assert abs(np.mean(means) / LEVEL - 1.0) < 0.04  # 0.012 by chance
    assert abs(np.mean(z)) < 0.55
    assert 0.75 < np.sqrt(np.mean(np.square(z))) < 1.25


def test_a_hit_of_a_stray_particle_changes_no_background():
    boxes, estimate, around = crowd(5)
    before, _ = among_neighbours(RoundSpots(), np.array([14]), np.arange(36), boxes, estimate, around)
    boxes.data[boxes.offsets[14] + 40] += 3000.0
    assert boxes.mask[boxes.offsets[14] + 40] == 3
    after, _ = among_neighbours(RoundSpots(), np.array([14]), np.arange(36), boxes, estimate, around)
    assert after.mean[14] == pytest.approx(before.mean[14], rel=0.01)


def test_no_background_stays_none_and_its_spots_are_not_looked_at():
    """What `null` says is wanted: nothing under any spot."""
    boxes, estimate, around = crowd(6, 0.0)
    none = BackgroundEstimate.from_pixels(
        boxes, estimate.background, estimate.used, np.ones(36, bool), mean=np.zeros(36)
    )
    fitter = RoundSpots()
    found, variance = among_neighbours(fitter, np.arange(36), np.arange(36), boxes, none, around)
    assert not found.background.any() and np.all(variance == -1) and not fitter.asked


def test_boxes_nearby_are_those_that_share_pixels():
    rng = np.random.default_rng(1)
    n = 300
    low = np.column_stack([rng.integers(-30, 200, n), rng.integers(-10, 150, n), rng.integers(0, 40, n)])
    size = np.column_stack([rng.integers(4, 40, n), rng.integers(4, 12, n), rng.integers(1, 9, n)])
    box = np.stack([low, low + size], axis=2).reshape(n, 6).astype(np.int32)
    panel = rng.integers(0, 2, n)
    cells = spot_cells(box.astype(np.float64), panel)
    queries, of_panel = box[:40] + np.array([-50, 60, -3, 4, 0, 2], np.int32), np.append(panel[:39], 7)
    pairs, near = boxes_near(queries, of_panel, np.arange(40), box, cells.members, cells.starts, cells.low, cells.size)
    for i in range(40):
        shares = (
            (box[:, ::2] < queries[i, 1::2]).all(axis=1)
            & (box[:, 1::2] > queries[i, ::2]).all(axis=1)
            & (panel == of_panel[i])
        )
        shares[i] = False
        assert sorted(near[pairs[i] : pairs[i + 1]]) == np.flatnonzero(shares).tolist()


def test_profiles_are_evaluated_once_and_those_of_spots_far_away_forgotten(monkeypatch):
    """Room for the profiles of two thirds of the spots: what is found is the same, and some are evaluated again."""
    boxes, estimate, around = crowd(7)
    rows, fitter = np.arange(36), RoundSpots()
    every, _ = among_neighbours(fitter, rows, rows, boxes, estimate, around)
    assert sum(fitter.asked) == 36
    monkeypatch.setattr("spindle_program_integrate.crowded.MOST_PIXELS", 24 * 29 * 29 * 4)
    fitter, around = RoundSpots(), Surroundings(around.rows, around.bbox, around.geometry, around.expected)
    for some in 2 * (rows[:1], rows[10:11], rows[25:26], rows[35:]):
        found, variance = among_neighbours(fitter, some, rows, boxes, estimate, around)
        assert found.mean[some] == pytest.approx(every.mean[some], rel=1e-6) and np.all(variance[some] > 0)
    assert fitter.asked[:3] == [8, 12, 9] and 34 < sum(fitter.asked) < 68
    assert len(around.profiles.values) <= 24 * 29 * 29 * 4
