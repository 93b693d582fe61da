"""The fft1d method and its pieces."""

from __future__ import annotations

import numpy as np
import pytest
from spindle_indexing_fft1d import Fft1dIndexing
from spindle_indexing_fft1d.directions import local_grid, separated
from spindle_indexing_fft1d.kernels import project

from spindle.contracts.indexing import IndexingError
from spindle.execution import Executor
from spindle.geometry import hemisphere
from spindle.testing.indexing import reciprocal_points


def find(rlp, max_cell=60.0):
    return Fft1dIndexing().find_basis_vectors(rlp=rlp, min_cell=3.0, max_cell=max_cell, executor=Executor())


def test_separated_directions_keep_one_of_opposites():
    directions = np.array([[1.0, 0, 0], [-1.0, 0, 0], [0, 1.0, 0], [0.999, 0.0447, 0]])
    assert separated(directions, 0.1, 10) == [0, 2]
    assert separated(directions, 0.1, 1) == [0]


def test_neighbours_are_a_step_away():
    near = local_grid(np.array([[0.0, 0.6, 0.8], [1.0, 0.0, 0.0]]), 0.01)
    angles = np.degrees(np.arccos(np.einsum("mij,mj->mi", near, [[0.0, 0.6, 0.8], [1.0, 0.0, 0.0]])))
    assert near.shape == (2, 8, 3)
    np.testing.assert_allclose(np.sort(angles[0])[[0, -1]], np.degrees([0.01, 0.01 * np.sqrt(2)]), rtol=1e-3)


def test_histogram_counts_every_point_once():
    rlp, _ = reciprocal_points(seed=3)
    directions = hemisphere(0.5)
    histograms = np.zeros((len(directions), 401), np.float32)
    resolution = 399 / (2 * np.linalg.norm(rlp, axis=1).max())
    project(np.ascontiguousarray(rlp.T), directions, resolution, histograms)
    assert np.all(histograms.sum(axis=1) == len(rlp))
    places = np.rint(directions @ rlp.T * resolution).astype(int) + 200
    np.testing.assert_array_equal(histograms, [np.bincount(p, minlength=401) for p in places])


def test_refined_vectors_are_lattice_vectors_to_a_hundredth():
    rlp, basis = reciprocal_points(seed=12, d_min=2.5)
    coordinates = find(rlp).vectors[:3] @ np.linalg.inv(basis)
    assert np.abs(coordinates - np.rint(coordinates)).max() < 0.02


def test_spots_of_many_more_periods_than_needed_are_left_out(caplog):
    """Beyond max_cell / 128 where 200 others remain: the vectors are those of the lattice all the same."""
    rlp, basis = reciprocal_points(seed=12, d_min=2.5)
    rng = np.random.default_rng(1)
    far = rng.normal(size=(30, 3))
    far *= 2.0 / np.linalg.norm(far, axis=1)[:, None]  # at 0.5 A; 256 A divided by 128 are 2 A
    with caplog.at_level("INFO"):
        found = find(np.concatenate([rlp, far]), max_cell=256.0)
    assert "Leaving out 30 spots beyond 2.00 Angstrom" in caplog.text
    assert found.n_points == len(rlp) > 200
    coordinates = found.vectors[:3] @ np.linalg.inv(basis)
    assert np.abs(coordinates - np.rint(coordinates)).max() < 0.02


def test_directions_by_itself_are_not_closer_than_a_hundredth(caplog):
    """Few spots at 1 A, all of which stay, ask for 2 / 256 rad."""
    rng = np.random.default_rng(2)
    rlp = rng.normal(size=(30, 3))
    rlp /= np.linalg.norm(rlp, axis=1)[:, None]
    with caplog.at_level("INFO"):
        find(rlp, max_cell=256.0)
    assert f"Trying {len(hemisphere(0.01))} directions, 0.0100 rad apart" in caplog.text


def test_needs_eight_spots():
    with pytest.raises(IndexingError, match="at least 8"):
        find(np.ones((7, 3)))
