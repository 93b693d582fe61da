"""Lattices from a part of very many spots, and indices for all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import cKDTree
from spindle_program_index import Index
from spindle_program_index.preparation import prepare
from spindle_program_index.sampling import FEWEST, sample

from spindle.execution import run
from spindle.models import Experiments
from spindle.table import Flag
from spindle.testing.indexing import rotation_experiment, spots_of, without_crystals
from spindle_lib_spots.max_cell import estimate_max_cell

CELL = (71.0, 83.0, 97.0, 90.0, 101.0, 90.0)


@pytest.fixture(scope="module")
def spots():
    """Two sweeps of one crystal, the second on few images."""
    truth = [rotation_experiment(CELL, seed=3, n_images=n, distance=140.0) for n in (60, 4)]
    return truth, spots_of(truth, seed=1, d_min=3.2, keep=0.8)


@pytest.fixture(scope="module")
def indexed(spots):
    truth, table = spots
    return [run("index", without_crystals(truth), table, most_spots=most, max_refine=4) for most in (None, 4000)]


def test_all_spots_have_the_indices_that_they_have_without_a_choice(spots, indexed):
    whole, part = (result.reflections for result in indexed)
    assert list(part) == list(whole) and len(part) == len(spots[1]) > 12_000
    A = [result.experiments[0].crystal.A for result in indexed]
    change = np.rint(np.linalg.inv(A[1]) @ A[0])
    same = np.all(part["miller_index"] == whole["miller_index"] @ change.T, axis=1)
    assert np.mean(same) > 0.999 and np.mean(part["id"] == whole["id"]) > 0.999
    both = (part["id"] >= 0) & (whole["id"] >= 0)
    # Two sets of some thousand spots known to 0.2 px.
    assert np.abs(part["xyzcal.px"] - whole["xyzcal.px"])[both].mean() < 0.02
    for name in ("s1", "rlp", "xyzobs.mm.value", "xyzcal.mm"):
        np.testing.assert_allclose(part[name][both], whole[name][both], atol=0.02, err_msg=name)
    for name in ("entering", "xyzobs.mm.variance"):
        np.testing.assert_allclose(part[name], whole[name], rtol=0.05, err_msg=name)


def test_flags_tell_which_spots_were_refined_with(indexed):
    table = indexed[1].reflections
    used = table.has_flags(Flag.USED_IN_REFINEMENT)
    assert 2000 < np.count_nonzero(used) < len(table) / 2
    np.testing.assert_array_equal(table.has_flags(Flag.INDEXED), table["id"] >= 0)
    np.testing.assert_array_equal(table.has_flags(Flag.PREDICTED), table["id"] >= 0)
    assert not np.any(used & (table["id"] < 0)) and indexed[1].summary["n_spots"] == len(table)
    assert table.identifiers == {i: e.identifier for i, e in enumerate(indexed[1].experiments)}


def median_neighbour(points):
    return np.median(cKDTree(points).query(points, k=2)[0][:, 1])


def test_neighbours_stay_neighbours_in_the_part(spots):
    """The longest edge is estimated from distances between neighbours: single spots drawn at random would have others."""
    truth, table = spots
    sweeps, params = without_crystals(truth), Index.Params().indexing
    prepared = prepare(table, sweeps, params)
    rows = sample(sweeps, prepared, 4000)
    assert 0.2 < len(rows) / len(table) < 0.5 and np.all(np.diff(rows) > 0)
    alone = np.random.default_rng(1).permutation(len(table))[: len(rows)]
    every, part, single = (median_neighbour(prepared.select(r)["rlp"]) for r in (slice(None), rows, alone))
    assert part == pytest.approx(every, rel=0.05) and single > 1.1 * every
    every, part = (estimate_max_cell(t, params.max_cell_estimation) for t in (prepared, prepared.select(rows)))
    assert part == pytest.approx(every, rel=0.1)


def test_short_sweeps_keep_all_their_spots(spots):
    truth, table = spots
    rows = sample(without_crystals(truth), table, 4000)
    counts = np.bincount(table["imageset_id"]), np.bincount(table["imageset_id"][rows])
    assert counts[0][1] < FEWEST and counts[1][1] == counts[0][1]
    np.testing.assert_array_equal(rows, sample(without_crystals(truth), table, 4000))


def test_both_lattices_are_found_in_a_part(spots):
    first = rotation_experiment(CELL, seed=3, n_images=40, distance=140.0)
    second = rotation_experiment(CELL, seed=8, n_images=40, distance=140.0)
    truth = Experiments([first, replace(second, scan=first.scan)])
    table = spots_of(truth, seed=2, d_min=3.0, keep=0.7)
    result = run("index", without_crystals(truth), table, most_spots=4000, max_refine=4, max_lattices=2)
    assert result.summary["n_lattices"] == 2 and result.summary["fraction_indexed"] > 0.95
    counts = [
        np.bincount(result.reflections["true_lattice"][result.reflections["id"] == i], minlength=2) for i in (0, 1)
    ]
    assert sorted(int(np.argmax(c)) for c in counts) == [0, 1]
    assert all(c.max() / c.sum() > 0.97 for c in counts)
