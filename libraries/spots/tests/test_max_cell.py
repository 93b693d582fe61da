"""The largest cell edge from distances between neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from spindle.contracts.indexing import IndexingError
from spindle.table import ReflectionTable
from spindle_lib_spots.max_cell import estimate_max_cell
from spindle_lib_spots.params import MaxCellParams


def spots(rlp):
    n = len(rlp)
    return ReflectionTable(
        {
            "rlp": np.asarray(rlp, float),
            "entering": np.zeros(n, bool),
            "imageset_id": np.zeros(n, np.int32),
            "xyzobs.mm.value": np.zeros((n, 3)),
        }
    )


def estimate(rlp, **params):
    return estimate_max_cell(spots(rlp), MaxCellParams(filter_ice=False, **params))


def row(n, spacing):
    return np.column_stack([np.arange(n) * spacing, np.zeros(n), np.zeros(n)])


def test_distances_that_are_all_alike_are_the_edge():
    assert estimate(row(40, 1 / 64)) == pytest.approx(1.3 * 64, rel=1e-6)


def test_spots_at_one_place_are_no_neighbours():
    with pytest.raises(IndexingError, match="only 0 distances"):
        estimate(np.full((40, 3), 0.1))
    assert estimate(np.concatenate([row(40, 1 / 64), np.full((200, 3), 5.0)])) == pytest.approx(1.3 * 64, rel=1e-6)


def test_what_few_spots_are_of_is_not_guessed():
    with pytest.raises(IndexingError, match="2 spots are too few to index"):
        estimate(row(2, 1 / 64))


@pytest.mark.parametrize("percentile", [None, 0.5])
def test_distances_beyond_any_lattice_are_too_few(percentile):
    with pytest.raises(IndexingError, match="too few"):
        estimate(row(40, 2.0), nearest_neighbor_percentile=percentile)


def test_the_longest_of_many_distances_is_found():
    rng = np.random.default_rng(4)
    lattice = np.array(np.meshgrid(*[np.arange(8)] * 3)).reshape(3, -1).T @ np.diag([1 / 30, 1 / 50, 1 / 90])
    assert 80 < estimate(lattice + rng.normal(0, 1e-5, lattice.shape)) / 1.3 < 100
