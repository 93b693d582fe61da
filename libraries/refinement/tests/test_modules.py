"""Displacements of modules from residuals."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from spindle.models import Detector, Distortion, Panel
from spindle_lib_refinement.modules import (
    Displacements,
    as_panels,
    fit_displacements,
    gain_of,
    module_grid,
    with_displacements,
    without_common_motion,
)


def panel(size, mask=()):
    return Panel(
        fast_axis=np.array([1.0, 0, 0]), slow_axis=np.array([0, -1.0, 0]), origin=np.array([-30.0, 30.0, -100.0]),
        pixel_size=np.array([0.1, 0.1]), image_size=size, mask=mask,
    )  # fmt: skip


STRIPS = ((100, 0, 110, 320), (210, 0, 220, 320), (0, 150, 330, 170), (5, 5, 60, 9))  # the last one is no strip
DETECTOR = Detector([panel((330, 320), STRIPS)])
GRID = module_grid(DETECTOR)


def spots(n, moves, noise, seed=1, outliers=0):
    rng = np.random.default_rng(seed)
    xy = rng.uniform(0, [330, 320], (n, 2))
    module = GRID.find(np.zeros(n, int), xy)
    xy, module = xy[module >= 0], module[module >= 0]
    place = xy - GRID.centre[module]
    shift, turn = np.array(moves)[module, :2], np.array(moves)[module, 2]
    true = shift + np.column_stack([-turn * place[:, 1], turn * place[:, 0]])
    residuals = true + rng.normal(0, noise, xy.shape)
    residuals[:outliers] += rng.choice([-3.0, 3.0], (outliers, 2))
    return module, xy, residuals


def test_modules_lie_between_strips():
    assert len(GRID) == 6
    columns, rows = ((0, 100), (110, 210), (220, 330)), ((0, 150), (170, 320))
    assert GRID.box.tolist() == [[a, c, b, d] for c, d in rows for a, b in columns]
    assert GRID.find(np.zeros(4, int), np.array([[0, 0], [105, 3], [329.9, 319.9], [-1, 5]])).tolist() == [0, -1, 5, -1]


@pytest.mark.parametrize(
    ("size", "number"),
    [((1475, 1679), 24), ((2463, 2527), 60), ((3108, 3262), 18), ((4150, 4371), 32), ((500, 500), 1)],
)
def test_known_detectors_without_strips_have_their_modules(size, number):
    """Pilatus 2M and 6M, Eiger 2 9M and Eiger 16M have 3 x 8, 5 x 12, 3 x 6 and 4 x 8 modules."""
    assert len(module_grid(Detector([panel(size)]))) == number


def test_panels_are_modules():
    grid = module_grid(Detector([panel((100, 50)), panel((100, 50), ((40, 0, 60, 50),))]))
    assert grid.panel.tolist() == [0, 1, 1]
    assert grid.box.tolist() == [[0, 0, 100, 50], [0, 0, 40, 50], [60, 0, 100, 50]]


def test_displacements_are_recovered_within_their_errors():
    rng = np.random.default_rng(5)
    moves = np.column_stack([rng.normal(0, 0.35, (6, 2)), rng.normal(0, 0.002, 6)])
    found = fit_displacements(GRID, *spots(3000, moves, 0.1, outliers=200))
    errors = np.sqrt(found.variances)
    assert errors[:, 0].max() < 0.01, "0.1 px of 500 spots"
    assert (np.abs(found.moves - moves) < 4 * errors).all()
    gain = gain_of(GRID, *spots(3000, moves, 0.1, outliers=200))
    assert gain.significance > 20
    assert gain.after == pytest.approx(0.1, rel=0.1)


def test_nothing_is_learned_where_there_is_nothing():
    significances = []
    for seed in range(20):
        sample = spots(1500, np.zeros((6, 3)), 0.2, seed, outliers=50)
        assert fit_displacements(GRID, *sample).rms < 0.02
        significances.append(gain_of(GRID, *sample).significance)
    assert max(significances) < 3


def test_a_module_with_few_spots_stays():
    moves = np.full((6, 3), [0.3, -0.3, 0.0])
    module, xy, residuals = spots(3000, moves, 0.3)
    few = (module != 2) | (np.cumsum(module == 2) <= 2)
    found = fit_displacements(GRID, module[few], xy[few], residuals[few])
    assert found.moves[2].tolist() == [0, 0, 0]
    np.testing.assert_allclose(found.moves[[0, 1, 3, 4, 5], :2], moves[[0, 1, 3, 4, 5], :2], atol=0.08)


def test_maps_move_predictions_and_are_added_to_those_that_are_there():
    moves = np.zeros((6, 3))
    moves[1], moves[4] = (0.25, -0.5, 0.001), (0.1, 0.2, 0.0)
    found = replace(fit_displacements(GRID, *spots(500, moves, 0.1)), moves=moves)
    constant = np.full((320, 330), 0.5), np.full((320, 330), -0.25)
    lens = Detector([replace(DETECTOR[0], distortion=Distortion(lambda: constant, "lens"))])
    place = np.array([[160.5, 75.5], [120.5, 20.5], [150.5, 250.5], [20.5, 20.5]])
    for base, extra in ((DETECTOR, (0.0, 0.0)), (lens, (0.5, -0.25))):
        moved = with_displacements(base, found)
        seen = moved.mm_to_pixel(0, DETECTOR.pixel_to_mm(0, place)) - place - extra
        np.testing.assert_allclose(seen[0], [0.25 - 0.001 * 0.5, -0.5 + 0.001 * 0.5], atol=1e-3)
        np.testing.assert_allclose(seen[1], [0.25 + 0.001 * 54.5, -0.5 - 0.001 * 39.5], atol=1e-3)
        np.testing.assert_allclose(seen[2:], [[0.1, 0.2], [0, 0]], atol=1e-3)
    assert moved[0].distortion.name.startswith("lens modules ")
    again = pickle.loads(pickle.dumps(with_displacements(DETECTOR, found)))
    np.testing.assert_array_equal(again[0].distortion.maps, with_displacements(DETECTOR, found)[0].distortion.maps)


def some_moves():
    rng = np.random.default_rng(9)
    moves = np.column_stack([rng.normal(0, 0.35, (6, 2)), rng.normal(0, 0.001, 6)])
    return Displacements(GRID, moves, np.full((6, 3), 1e-6))


def test_pixels_of_gaps_go_with_the_nearest_module():
    """Spots that a gap cuts are predicted where their module is."""
    found = some_moves()
    found = replace(found, moves=found.moves * (1, 1, 0))
    seen = with_displacements(DETECTOR, found)[0].distortion.at(
        np.array([[103.5, 20.5], [106.5, 20.5], [50.5, 158.5], [50.5, 161.5], [215.5, 300.5]])
    )
    np.testing.assert_allclose(seen, found.moves[[0, 1, 0, 3, 5], :2], atol=1e-3)


def test_modules_as_panels_are_where_maps_have_them():
    found = some_moves()
    maps, panels = with_displacements(DETECTOR, found), as_panels(DETECTOR, found)
    rays = np.array([[20.5, 30.5], [170.5, 100.5], [300.5, 250.5], [60.5, 200.5]])
    module = GRID.find(np.zeros(4, int), rays)
    mm = DETECTOR.pixel_to_mm(0, rays)
    s1 = np.array([DETECTOR[0].origin + x * DETECTOR[0].fast_axis + y * DETECTOR[0].slow_axis for x, y in mm])
    for k, point, ray in zip(module.tolist(), rays, s1, strict=True):
        own = panels[k]
        fast, slow, origin = own.fast_axis, own.slow_axis, own.origin
        ray = ray * (origin @ own.normal) / (ray @ own.normal)
        seen = np.array([(ray - origin) @ fast, (ray - origin) @ slow]) / own.pixel_size + GRID.box[k, :2]
        expected = maps.mm_to_pixel(0, DETECTOR.pixel_to_mm(0, point[None]))[0]
        np.testing.assert_allclose(seen, expected, atol=2e-3)


def test_what_all_modules_have_in_common_is_the_place_of_the_detector():
    found = some_moves()
    centre = GRID.centre
    common = np.column_stack([0.5 - 0.002 * centre[:, 1], -0.3 + 0.002 * centre[:, 0], np.full(6, 0.002)])
    weights = np.array([5.0, 1, 3, 4, 2, 6])
    alone = without_common_motion(found, weights)
    np.testing.assert_allclose(
        without_common_motion(replace(found, moves=found.moves + common), weights).moves, alone.moves, atol=1e-9
    )
    assert (weights @ alone.moves[:, :2] ** 2).sum() < (weights @ found.moves[:, :2] ** 2).sum()
