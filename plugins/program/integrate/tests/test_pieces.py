"""The pieces of `spindle integrate`, each by itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from spindle_program_integrate import Integrate
from spindle_program_integrate.blocks import Plan
from spindle_program_integrate.filters import sample, select_rows
from spindle_program_integrate.image_kernels import clear_parts, extract_pixels, paint_spots, painted_parts
from spindle_program_integrate.kernels import HALO, free_crowded, sum_pixels

from spindle.errors import UserError
from spindle.files import read_experiments, read_reflections
from spindle.geometry import zeta_factor
from spindle.prediction import lorentz_polarisation
from spindle.table import MaskCode, ReflectionTable
from spindle.testing import shared_data
from spindle_lib_selection.significance import significance
from spindle_lib_spots.reference import match


def test_matching_takes_the_nearest_turn_and_each_prediction_once():
    predicted = ReflectionTable.with_rows(3, ["miller_index", "id", "panel", "entering", "xyzcal.px"])
    predicted["miller_index"] = np.array([[1, 2, 3]] * 3)
    predicted["xyzcal.px"] = np.array([[10.0, 10, 5], [10, 10, 725], [50, 50, 5]])
    reference = ReflectionTable.with_rows(3, ["miller_index", "id", "panel", "entering", "xyzcal.px"])
    reference["miller_index"] = np.array([[1, 2, 3]] * 3)
    reference["xyzcal.px"] = np.array([[10.0, 10, 724.5], [10, 11, 724.5], [10, 10, 5.2]])
    rows, partner = match(predicted, reference)
    assert rows.tolist() == [0, 2]
    assert partner.tolist() == [1, 0]


def test_lp_and_zeta_are_those_of_dials():
    """Columns of a set integrated by DIALS 3.12, whose lp holds L / P and zeta m2.e1."""
    folder = shared_data("dials_processed/quartz_processed")
    experiment, table = read_experiments(folder / "integrated.expt")[0], read_reflections(folder / "integrated.refl")
    zeta = zeta_factor(experiment.beam.s0, table["s1"], experiment.goniometer.axis_lab)
    np.testing.assert_allclose(zeta, table["zeta"], atol=1e-12)
    # that version knew no electrons, and took them for polarised light
    beam = replace(experiment.beam, probe="x-ray")
    lp = lorentz_polarisation(beam, experiment.goniometer, table["s1"])
    np.testing.assert_allclose(lp, table["lp"], rtol=1e-9)


def test_painting_and_extraction_know_neighbours():
    bbox = np.array([[0, 4, 0, 1, 0, 1], [2, 6, 0, 1, 0, 1]], np.int32)
    offsets, inside = np.array([0, 4, 8]), np.array([0, 1, 2, 0, 1, 2, 0, 0], np.uint8)
    members, held = np.arange(2), np.array([[0, 1], [0, 1]], np.int32)
    count = np.zeros((1, 8), np.uint8)
    parts = painted_parts(bbox, offsets, inside)
    assert parts.tolist() == [[1, 3, 0, 1], [2, 4, 0, 1]]
    paint_spots(0, members, bbox, parts, offsets, inside, 1, count)
    assert count[0].tolist() == [0, 16, 17, 1, 0, 0, 0, 0]
    image = np.arange(8, dtype=np.int32)[None]
    count[0, 0] |= 128
    data, mask, over = np.zeros(8, np.float32), np.zeros(8, np.uint8), np.zeros(2, np.uint8)
    starts = np.array([0, 4, 8])
    extract_pixels(
        image, np.int32(0), np.int32(4), 0, members, bbox, held, offsets, inside, count, starts, data, mask, over
    )
    V, B, F, O = MaskCode.VALID, MaskCode.BACKGROUND, MaskCode.FOREGROUND, MaskCode.OVERLAPPED
    assert data.tolist() == [0, 1, 2, 3, 2, 3, 4, 5]
    assert mask.tolist() == [B, F | V, V | O, B | V | O | HALO, F | V, V, B | V, B]
    assert over.tolist() == [0, 5]  # overloaded, and under the halo of the other
    clear_parts(0, members, bbox, parts, 1, count)
    assert count[0].tolist() == [128, 0, 0, 0, 0, 0, 0, 0]


def test_pixels_beyond_the_panel_are_empty():
    bbox, inside = np.array([[-1, 2, -1, 3, 0, 1]], np.int32), np.array([1, 0, 2] * 4, np.uint8)
    data, mask, marks = np.full(12, 0, np.float32), np.zeros(12, np.uint8), np.zeros(1, np.uint8)
    image, count = np.array([[5.0, 6.5], [7.0, np.nan]], np.float32), np.zeros((2, 2), np.uint8)
    extract_pixels(
        image, 0.0, 6.0, 0, np.arange(1), bbox, bbox[:, 4:].copy(), np.array([0, 12]), inside, count, np.array([0, 12]),
        data, mask, marks,
    )  # fmt: skip
    V, B, F = MaskCode.VALID, MaskCode.BACKGROUND, MaskCode.FOREGROUND
    assert mask.tolist() == [F, B, 0, F, B | V, 0, F, B, 0, F, B, 0]
    assert data[[3, 4, 5, 6, 7]].tolist() == [0, 5, 6.5, 0, 7]
    assert np.isnan(data[8]) and data[:3].tolist() == data[9:].tolist() == [0, 0, 0]
    assert marks.tolist() == [1]


def test_crowded_spots_get_their_background_back():
    mask = np.array([3 | 32] * 5 + [5] + [3] * 5 + [3 | 32], np.uint8)
    assert free_crowded(np.array([0, 6, 12]), mask, 3, 3).tolist() == [True, False]
    assert np.all(mask[:5] == 3)
    assert mask[11] == 35


@pytest.mark.parametrize(
    ("enough", "least", "expected"),
    [
        (1, 1, [35, 35, 35, 3]),
        (2, 1, [35, 35, 35, 3]),
        (2, 2, [35, 3, 3, 3]),
        (9, 3, [35, 3, 3, 3]),
        (9, 4, [3, 3, 3, 3]),
    ],
)
def test_crowded_spots_get_pixels_of_halos_back_before_those_of_neighbours(enough, least, expected):
    mask = np.array([3 | 32, 3 | 32 | HALO, 3 | 32 | HALO, 3], np.uint8)
    free_crowded(np.array([0, 4]), mask, enough, least)
    assert mask.tolist() == expected


@pytest.mark.parametrize(("free", "expected"), [(1, 3), (2, 35)])
def test_few_free_pixels_are_enough_unless_most_are_under_neighbours(free, expected):
    mask = np.array([3] * free + [3 | 32 | HALO] + [3 | 32] * (8 - free), np.uint8)
    assert free_crowded(np.array([0, 9]), mask, 4, 1).tolist() == [free == 1]
    assert mask[free] == expected and mask[-1] == 35


def test_sums_count_pixels_by_kind():
    mask = np.array([1 | 4, 4, 1 | 2 | 16, 2, 1 | 2 | 32, 1], np.uint8)
    counts, sums = np.zeros((1, 8), np.int64), np.zeros((1, 2))
    sum_pixels(np.array([0, 6]), np.arange(6, dtype=np.float32) + 1, mask, np.full(6, 0.5, np.float32), counts, sums)
    assert counts[0].tolist() == [4, 1, 2, 1, 2, 1, 1, 2]
    assert sums[0].tolist() == [1.0, 0.5]


def test_blocks_hold_every_spot_once_and_live_shortly():
    rng = np.random.default_rng(1)
    z0 = rng.integers(0, 3000, 20000)
    depth = np.where(rng.random(20000) < 0.02, 300, rng.integers(2, 8, 20000))
    bbox = np.column_stack(
        [np.zeros((20000, 1)), np.full((20000, 1), 10), np.zeros((20000, 1)), np.full((20000, 1), 10), z0, z0 + depth]
    ).astype(np.int32)
    plan = Plan(bbox, np.arange(20000))
    assert np.array_equal(np.sort(np.concatenate(plan.blocks)), np.arange(20000))
    for rows, first, last in zip(plan.blocks, plan.first, plan.last, strict=True):
        assert last - first <= 3 * max(8, 2 * int((bbox[rows, 5] - bbox[rows, 4]).max()))
    assert plan.peak_bytes() < 0.4 * 9 * np.sum(100.0 * depth)


def test_sampling_keeps_the_asked_number():
    params = Integrate.Params.sampling(
        integrate_all_reflections=False, reflections_per_degree=10, minimum_sample_size=50
    )
    ids = np.repeat([0, 1], 1000)
    assert np.bincount(ids[sample(ids, [20.0, 1.0], params, np.random.default_rng(0))]).tolist() == [200, 50]


def test_significance_filter_cuts_at_the_first_weak_bin():
    d = np.cbrt(1.0 / np.linspace(0.01, 0.1, 1000))
    table = ReflectionTable({"id": np.zeros(1000, np.int32), "d": d})
    table["intensity.sum.value"] = np.where(d > np.cbrt(1 / 0.055), 10.0, 0.5)
    table["intensity.sum.variance"] = np.ones(1000)
    params = Integrate.Params().significance_filter
    keep, tables = significance(table, params)
    assert d[keep].min() == pytest.approx(np.cbrt(1 / 0.055), rel=0.01)
    assert len(tables[0].rows) == 20


def test_rules_select_rows():
    table = ReflectionTable({"d": np.array([1.0, 2.0, 3.0]), "flags": np.array([1, 2, 3], np.uint64)})
    assert select_rows(table, "d<2.5").tolist() == [True, True, False]
    assert select_rows(table, "flags&2").tolist() == [False, True, True]
    with pytest.raises(UserError, match="select"):
        select_rows(table, "nonsense")
