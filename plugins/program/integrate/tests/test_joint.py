"""Overlapping spots: who overlaps with whom, and the equations that are solved for all of them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from spindle_program_integrate.joint import Equations, solve
from spindle_program_integrate.joint_kernels import LEAST_SHARE, joint_equations, shares_in_foreground
from spindle_program_integrate.overlaps import MOST, find_overlaps

from spindle.table import Flag, ReflectionTable


def test_overlaps_are_all_pairs_of_boxes_that_intersect():
    rng = np.random.default_rng(1)
    n = 400
    low = np.column_stack([rng.integers(-30, 200, n), rng.integers(-10, 150, n), rng.integers(0, 40, n)])
    size = np.column_stack([rng.integers(4, 40, n), rng.integers(4, 12, n), rng.integers(1, 9, n)])
    bbox = np.stack([low, low + size], axis=2).reshape(n, 6).astype(np.int32)
    panel, rows = rng.integers(0, 2, n), np.sort(rng.permutation(n)[:300])
    found = find_overlaps(bbox, panel, rows, 2.0)
    for i in range(n):
        box = bbox[:, :4].astype(float)
        middle, half = 0.5 * (box[:, ::2] + box[:, 1::2]), 0.25 * (box[:, 1::2] - box[:, ::2]) + 1.0
        near = (np.abs(middle - middle[i]) < half + half[i]).all(axis=1) & (panel == panel[i])
        near &= (bbox[:, 4] < bbox[i, 5]) & (bbox[i, 4] < bbox[:, 5]) & np.isin(np.arange(n), rows)
        near[i] = False
        expected = np.flatnonzero(near) if i in rows else []
        assert found.other[found.offsets[i] : found.offsets[i + 1]].tolist() == list(expected)
    some = found.of(np.array([5, 3]))
    assert np.array_equal(np.diff(some.offsets), np.diff(found.offsets)[[5, 3]])


def test_no_spot_one_spot_and_too_many_spots_have_no_neighbours():
    box = np.tile(np.array([[10, 20, 10, 20, 0, 3]], np.int32), (MOST + 2, 1))
    panel = np.zeros(MOST + 2, np.int64)
    for rows in (np.zeros(0, np.int64), np.array([3]), np.arange(MOST + 2)):
        assert find_overlaps(box, panel, rows, 2.0).offsets.tolist() == [0] * (MOST + 3)
    assert len(find_overlaps(box, panel, np.arange(MOST + 1), 2.0).other) == MOST * (MOST + 1)


def line_of_spots(counts, centres, width, length, background, rng, boxes, hits=(), expected=300.0):
    """Equations of Gaussian spots along a line of pixels, made by the kernel, with what each pixel holds."""
    x = np.arange(length) + 0.5
    profile = np.exp(-0.5 * ((x - np.array(centres)[:, None]) / width) ** 2) / (width * np.sqrt(2 * np.pi))
    data = rng.poisson(counts @ profile + background).astype(np.float32)
    for pixel, more in hits:
        data[pixel] += more
    n = len(centres)
    bbox = np.array([[a, b, 0, 1, 0, 1] for a, b in boxes], np.int32)
    starts = np.concatenate([[0], np.cumsum(bbox[:, 1] - bbox[:, 0])]).astype(np.int64)
    values = np.concatenate([data[a:b] for a, b in boxes])
    pairs = np.array([[j for j in range(n) if j != i] for i in range(n)])
    theirs = np.concatenate([profile[j][a:b] for i, (a, b) in enumerate(boxes) for j in pairs[i]]).astype(np.float32)
    lengths = np.repeat(bbox[:, 1] - bbox[:, 0], n - 1)
    own = np.concatenate([profile[i][a:b] for i, (a, b) in enumerate(boxes)]).astype(np.float32)
    offsets, their_starts = np.arange(n + 1) * (n - 1), np.concatenate([[0], np.cumsum(lengths)])
    mask, shares = np.full(len(values), 5, np.uint8), np.zeros((n * (n - 1), 2))
    shares_in_foreground(bbox, starts, mask, bbox[:, :4].copy(), offsets, their_starts, theirs, shares)
    kept = shares[:, 1] > LEAST_SHARE
    offsets, pairs, shares = np.concatenate([[0], np.cumsum(kept)])[offsets], pairs.ravel()[kept], shares[kept, 1]
    diagonal, right, slope, share, spread, cross = (np.zeros(m) for m in (n, n, n, n, n, len(pairs)))
    joint_equations(
        bbox, starts, values, mask, np.full(len(values), background, np.float32), bbox[:, :4].copy(), starts, own, offsets,
        their_starts[:-1][kept], theirs, np.full(n, expected), np.full(len(pairs), expected), diagonal, right, slope, share,
        spread, cross,
    )  # fmt: skip
    equations = Equations(
        np.arange(n), offsets, pairs, diagonal, right, spread, np.zeros(n), share, cross, shares
    )  # fmt: skip
    total = np.array([values[a:b].sum() - background * (b - a) for a, b in pairwise(starts)])
    return equations, total, background * (bbox[:, 1] - bbox[:, 0])


def test_parts_of_neighbours_are_those_in_the_foreground_and_in_what_is_valid_of_it():
    rng = np.random.default_rng(2)
    bbox = np.array([[3, 8, 1, 5, 0, 2], [0, 4, 0, 3, 1, 2]], np.int32)
    rectangles = np.array([[4, 7, 2, 5], [1, 3, 0, 2]], np.int32)
    starts, pairs = np.array([0, 40]), np.array([0, 2, 3])
    mask = rng.choice(np.array([0, 1, 4, 5], np.uint8), 52)
    theirs = rng.random(18 * 2 + 4).astype(np.float32)
    found = np.zeros((3, 2))
    shares_in_foreground(bbox, starts, mask, rectangles, pairs, np.array([0, 18, 36]), theirs, found)
    own = [mask[:40].reshape(2, 4, 5)[:, 1:4, 1:4], mask[40:].reshape(1, 3, 4)[:, 0:2, 1:3]]
    for j, (spot, begin) in enumerate([(0, 0), (0, 18), (1, 36)]):
        profile = theirs[begin : begin + own[spot].size].reshape(own[spot].shape).astype(float)
        expected = [profile[own[spot] >= 4].sum(), profile[own[spot] == 5].sum()]
        np.testing.assert_allclose(found[j], expected, rtol=1e-6)


def test_intensities_and_sums_of_overlapping_spots_are_right_and_so_are_their_sigmas():
    """Chains of five spots that are 3.3 standard deviations apart, in their own pixels, of 3 standard deviations each."""
    rng = np.random.default_rng(3)
    centres, width = np.array([20.0, 40.3, 60.1, 80.6, 100.2]), 6.1
    boxes = [(int(c - 3 * width), int(np.ceil(c + 3 * width))) for c in centres]
    z, raw = [], []
    for _ in range(300):
        counts = rng.exponential(300.0, 5)
        equations, total, under = line_of_spots(counts, centres, width, 130, 1.0, rng, boxes)
        table = ReflectionTable(
            {"intensity.sum.value": total.copy(), "intensity.sum.variance": np.abs(total) + under,
             "intensity.prf.value": np.zeros(5), "intensity.prf.variance": np.full(5, -1.0),
             "flags": np.full(5, int(Flag.FAILED_DURING_PROFILE_FITTING), np.uint64)}
        )  # fmt: skip
        assert solve([equations], table, np.full(5, 300.0), 1.0, map) == 5
        assert table.has_flags(Flag.INTEGRATED_PRF).all()
        assert not table.has_flags(Flag.FAILED_DURING_PROFILE_FITTING).any()
        for kind, expected in (("prf", counts), ("sum", counts * 0.9973)):
            error = table[f"intensity.{kind}.value"] - expected
            z.append((kind, error.sum(), *(error / np.sqrt(table[f"intensity.{kind}.variance"]))))
        raw.append(np.mean((total - counts) / counts.mean()))
    assert np.mean(raw) > 0.1
    for kind in ("prf", "sum"):
        mine = np.array([row[2:] for row in z if row[0] == kind])
        assert abs(np.sum([row[1] for row in z if row[0] == kind])) < 0.01 * 300 * 1500
        assert abs(np.sqrt(np.mean(mine**2)) - 1.0) < 0.06, kind


def test_sigmas_of_few_counts_do_not_follow_them():
    """Chains of spots of eight counts: with variances made of what is believed of each the mean of z would be -0.14."""
    rng = np.random.default_rng(8)
    centres, width = np.array([20.0, 40.3, 60.1, 80.6, 100.2]), 6.1
    boxes = [(int(c - 3 * width), int(np.ceil(c + 3 * width))) for c in centres]
    z = []
    for _ in range(600):
        counts = rng.exponential(8.0, 5)
        equations, total, under = line_of_spots(counts, centres, width, 130, 0.05, rng, boxes, expected=8.0)
        table = ReflectionTable(
            {"intensity.sum.value": total, "intensity.sum.variance": 8.0 + under, "intensity.prf.value": np.zeros(5),
             "intensity.prf.variance": np.zeros(5), "flags": np.zeros(5, np.uint64)}
        )  # fmt: skip
        assert solve([equations], table, np.full(5, 8.0), 1.0, map) == 5
        z.append((table["intensity.prf.value"] - counts) / np.sqrt(table["intensity.prf.variance"]))
    assert abs(np.mean(z)) < 0.05
    assert abs(np.sqrt(np.mean(np.square(z))) - 1.0) < 0.06


@pytest.mark.parametrize(("apart", "told"), [(0.05, False), (2.0, True)])
def test_spots_that_lie_on_one_another_have_failed_and_their_neighbour_has_not(apart, told):
    """Two spots ``apart`` pixels from one another, of a width of 6.1, and a third beside them."""
    rng = np.random.default_rng(6)
    counts = np.array([300.0, 200.0, 400.0])
    equations, total, under = line_of_spots(
        counts, [20.0, 20.0 + apart, 41.0], 6.1, 70, 1.0, rng, [(2, 39), (2, 39), (22, 60)]
    )
    integrated = Flag.INTEGRATED_PRF | Flag.INTEGRATED_SUM
    table = ReflectionTable(
        {"intensity.sum.value": total.copy(), "intensity.sum.variance": np.abs(total) + under,
         "intensity.prf.value": total.copy(), "intensity.prf.variance": np.abs(total),
         "flags": np.full(3, int(integrated), np.uint64)}
    )  # fmt: skip
    assert solve([equations], table, np.full(3, 300.0), 1.0, map) == (3 if told else 1)
    for name in ("PRF", "SUM"):
        assert table.has_flags(Flag[f"INTEGRATED_{name}"]).tolist() == [told, told, True]
    assert table.has_flags(Flag.FAILED_DURING_PROFILE_FITTING).tolist() == [not told, not told, False]
    assert table.has_flags(Flag.FAILED_DURING_SUMMATION).tolist() == [not told, not told, False]
    assert (table["intensity.prf.variance"] > 0).tolist() == [told, told, True]
    assert abs(table["intensity.prf.value"][2] - 400.0) < 4.0 * np.sqrt(table["intensity.prf.variance"][2]) < 120.0
    if told:
        error = table["intensity.prf.value"] - counts
        assert (np.abs(error) < 4.0 * np.sqrt(table["intensity.prf.variance"])).all()


@pytest.mark.parametrize(
    "hit", [(30, 800.0), (20, 800.0), (52, 2000.0)]
)  # between two spots, on top of one, in its wing
def test_a_stray_hit_under_overlapping_spots_changes_none_of_them(hit):
    """The same counts with and without it: solutions differ by what the lost pixel knew, not by the hit."""
    centres, boxes = [20.0, 40.0], [(2, 39), (21, 59)]
    errors, changes = [], []
    for seed in range(60):
        counts = np.random.default_rng(seed + 100).exponential(300.0, 2)
        found = []
        for hits in ((), (hit,)):
            rng = np.random.default_rng(seed)
            equations, total, under = line_of_spots(counts, centres, 6.1, 70, 1.0, rng, boxes, hits)
            table = ReflectionTable(
                {"intensity.sum.value": total, "intensity.sum.variance": np.abs(total) + under, "intensity.prf.value": np.zeros(2),
                 "intensity.prf.variance": np.zeros(2), "flags": np.zeros(2, np.uint64)}
            )  # fmt: skip
            assert solve([equations], table, np.full(2, 300.0), 1.0, map) == 2
            found.append((table["intensity.prf.value"], np.sqrt(table["intensity.prf.variance"])))
        errors.append((found[1][0] - counts) / found[1][1])
        changes.append((found[1][0] - found[0][0]) / found[0][1])
    assert abs(np.sqrt(np.mean(np.square(errors))) - 1.0) < 0.15
    assert np.sqrt(np.mean(np.square(changes))) < 0.4


@pytest.mark.parametrize(("share", "left_out"), [(0.12, False), (0.2, True)])
def test_a_pixel_that_a_wrong_profile_explains_is_no_stray_hit(share, left_out):
    """A tenth of the spots and as much again as the profile says (0.065 of 30,000) may be in one pixel beyond what it says."""
    counts = np.array([30_000.0, 20_000.0])
    values = []
    for hits in ((), ((20, share * counts.sum()),)):
        equations = line_of_spots(
            counts, [20.0, 40.0], 6.1, 70, 1.0, np.random.default_rng(5), [(2, 39), (21, 59)], hits
        )[0]
        table = ReflectionTable(
            {name: np.zeros(2) for name in ("intensity.sum.value", "intensity.sum.variance", "intensity.prf.value", "intensity.prf.variance")}
            | {"flags": np.zeros(2, np.uint64)}
        )  # fmt: skip
        solve([equations], table, np.full(2, 300.0), 1.0, map)
        values.append(table["intensity.prf.value"][0])
    assert (abs(values[1] - values[0]) < 500.0) == left_out


def test_a_neighbour_without_an_equation_is_what_such_spots_are():
    rng = np.random.default_rng(4)
    z = []
    for _ in range(300):
        counts = rng.exponential(300.0, 2)
        equations, total, under = line_of_spots(counts, [30.0, 50.0], 6.1, 80, 1.0, rng, [(12, 49), (31, 69)])
        keep = equations.offsets[1]
        equations = Equations(
            np.array([0]), np.array([0, keep]), *(v[:1] for v in (equations.others, equations.diagonal, equations.right,
            equations.spread, equations.own_noise, equations.share, equations.cross, equations.their_share)),
        )  # fmt: skip
        table = ReflectionTable({"intensity.sum.value": total, "intensity.sum.variance": np.abs(total) + under,
                                 "intensity.prf.value": np.zeros(2), "intensity.prf.variance": np.zeros(2),
                                 "flags": np.zeros(2, np.uint64)})  # fmt: skip
        solve([equations], table, np.full(2, 300.0), 1.0, map)
        z.append((table["intensity.prf.value"][0] - counts[0]) / np.sqrt(table["intensity.prf.variance"][0]))
    assert abs(np.sqrt(np.mean(np.square(z))) - 1.0) < 0.15
    assert abs(np.mean(z)) < 0.2


def test_nothing_to_solve_changes_nothing():
    assert solve([], ReflectionTable(), np.zeros(0), 1.0, map) == 0
