"""The fft3d method: its pieces, and equality with an independent program."""

from __future__ import annotations

import numpy as np
import pytest
from spindle_indexing_fft3d import Fft3dIndexing
from spindle_indexing_fft3d.algorithm import _spectrum
from spindle_indexing_fft3d.kernels import connected_peaks
from spindle_indexing_fft3d.vectors import drop_multiples, group_vectors

from spindle.contracts.indexing import IndexingError
from spindle.execution import Executor
from spindle.files import read_experiments, read_reflections
from spindle.prediction import add_observed_geometry
from spindle.testing import shared_data
from spindle.testing.indexing import reciprocal_points


def find(rlp, max_cell, **params):
    return Fft3dIndexing(Fft3dIndexing.Params(**params)).find_basis_vectors(
        rlp=rlp, min_cell=3.0, max_cell=max_cell, executor=Executor()
    )


def peaks(points, n):
    keys = np.sort(np.array([(i * n + j) * n + k for i, j, k in points], dtype=np.int64))
    sizes, sums = np.empty(len(keys), np.int64), np.empty((len(keys), 3), np.int64)
    found = connected_peaks(keys, n, sizes, sums)
    return sizes[:found], sums[:found]


def test_a_peak_across_the_edges_of_the_map_is_one_peak():
    sizes, sums = peaks([(0, 0, 0), (0, 0, 7), (7, 0, 0), (3, 3, 3)], 8)
    assert sorted(sizes) == [1, 3]
    centre = sums[np.argmax(sizes)] / 3
    np.testing.assert_allclose(centre, [-1 / 3, 0, -1 / 3])


def test_peaks_that_touch_at_corners_stay_apart():
    sizes, _ = peaks([(1, 1, 1), (2, 2, 2), (2, 2, 3)], 8)
    assert sorted(sizes) == [1, 2]


def test_opposite_vectors_are_one_group_with_the_larger_weight():
    vectors = np.array([[10.0, 0, 0], [-10.2, 0.1, 0], [0, 10.0, 0]])
    grouped, weights = group_vectors(vectors, np.array([3.0, 7.0, 5.0]))
    assert weights.tolist() == [7, 5]
    np.testing.assert_allclose(grouped[0], [10.1, -0.05, 0])


def test_a_multiple_of_a_heavier_vector_is_dropped_and_a_lighter_one_does_not_count():
    vectors = np.array([[10.0, 0, 0], [0, 12.0, 0], [20.1, 0, 0], [0, 24.0, 0]])
    kept = drop_multiples(vectors, np.array([9.0, 1.0, 5.0, 5.0]))
    assert kept.tolist() == [True, True, False, True]


def test_vectors_are_exact_to_a_voxel():
    rlp, basis = reciprocal_points(seed=11, d_min=2.0)
    found = find(rlp, 60.0)
    coordinates = found.vectors[:6] @ np.linalg.inv(basis)
    length = np.linalg.norm(found.vectors[:6] - np.rint(coordinates) @ basis, axis=1)
    assert length.max() < found.d_min  # the map has a voxel of d_min / 2


def test_spots_that_are_all_beyond_the_grid_say_what_to_do():
    """The grid reaches to 5 max_cell / 256; an empty map has no peaks, and is not all peak."""
    with pytest.raises(IndexingError, match="no spot lies within the resolution of the grid"):
        find(np.array([[0.5, 0.0, 0.0], [0.0, 0.6, 0.0], [0.0, 0.0, 0.7]]), 200.0)


def test_too_few_peaks_say_what_to_do():
    with pytest.raises(IndexingError, match="rmsd_cutoff"):
        find(np.array([[0.1, 0.0, 0.0], [0.0, 0.11, 0.0]]), 50.0, rmsd_cutoff=1e6)


@pytest.mark.parametrize(
    ("folder", "experiments", "spots", "max_cell", "n_vectors", "first", "last"),
    [
        (
            "quartz_processed", "imported.expt", "strong.refl", 7.165617492530213, 56,
            (-6.592095095365165, 2.0960038771095153, -2.3729370318571488),
            (7.737838147360267, -6.499784043782625, 0.5158558764906844),
        ),
        (
            "centroid_test_data", "indexed.expt", "indexed.refl", 59.664851658454026, 47,
            (35.06165058173281, -8.758366493788978, 22.131962314554432),
            (64.36527411668915, -22.67980060489399, 22.906598610942932),
        ),
    ],
)  # fmt: skip
def test_same_vectors_in_the_same_order_as_dials(folder, experiments, spots, max_cell, n_vectors, first, last):
    """dials.algorithms.indexing.basis_vector_search.FFT3D of DIALS 3.12.1 on the same points."""
    data = shared_data("dials_processed") / folder
    table = read_reflections(data / spots)
    table["imageset_id"] = np.zeros(len(table), dtype=np.int32)
    rlp = add_observed_geometry(read_experiments(data / experiments), table, "imageset_id")["rlp"]
    found = find(rlp, max_cell)
    assert len(found.vectors) == n_vectors
    for vector, expected in ((found.vectors[0], first), (found.vectors[-1], last)):
        np.testing.assert_allclose(vector * np.sign(vector @ expected), expected, atol=1e-6)


@pytest.mark.parametrize("n_points", [5, 300])
def test_transform_of_few_points_is_that_of_the_whole_grid(n_points):
    rng, n = np.random.default_rng(5), 24
    index = np.unique(rng.integers(2, n, (n_points, 3)), axis=0)
    weights = rng.uniform(0.1, 1.0, len(index)).astype(np.float32)
    grid = np.zeros((n, n, n))
    grid[tuple(index.T)] = weights
    np.testing.assert_allclose(_spectrum(index, weights, n, 1), np.fft.rfftn(grid), atol=1e-4)
