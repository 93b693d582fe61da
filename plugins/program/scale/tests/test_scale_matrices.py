"""Large symmetric matrices of scaling are inverted and filled as numpy does it."""

from __future__ import annotations

import numpy as np
import pytest
from spindle_program_scale import normal_matrices
from spindle_program_scale.matrix_kernels import add_halves, add_outer, mirror_lower, scale_lower
from spindle_program_scale.normal_matrices import Blocks, BlockSystem, WholeSystem, inverted


@pytest.fixture(autouse=True)
def small_ones_are_large(monkeypatch):
    monkeypatch.setattr(normal_matrices, "LARGE_MATRIX", 50)


@pytest.mark.parametrize("p", [40, 191])
def test_a_matrix_whose_inverse_is_known(p):
    """That of D (1 + u u') D is D^-1 (1 - u u' / (1 + u' u)) D^-1 (Sherman & Morrison 1950)."""
    rng = np.random.default_rng(4)
    d, u = 10.0 ** rng.uniform(-4, 4, p), rng.normal(size=p)
    matrix = (np.eye(p) + np.outer(u, u)) * d[:, None] * d
    before = matrix.copy()
    found = inverted(matrix)
    np.testing.assert_array_equal(matrix, before)
    np.testing.assert_allclose(found, found.T, rtol=1e-12)
    np.testing.assert_allclose(found * d[:, None] * d, np.eye(p) - np.outer(u, u) / (1.0 + u @ u), atol=1e-9)


def test_a_large_matrix_that_is_not_positive_loses_what_nothing_tells():
    p = 51
    diagonal = np.r_[np.full(p - 1, 4.0), 0.0]
    found = inverted(np.diag(diagonal))
    np.testing.assert_allclose(np.diag(found)[:-1], 0.25)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("p", [0, 1, 31, 32, 33, 70])
def test_squares_make_the_whole(p):
    rng = np.random.default_rng(p)
    matrix, size, direction = rng.normal(size=(p, p)), rng.normal(size=p), rng.normal(size=p)
    lower = np.full((p, p), np.nan, order="F")
    scale_lower(matrix, size, lower)
    np.testing.assert_array_equal(np.tril(lower), np.tril(matrix * size[:, None] * size))
    assert np.isnan(lower[np.triu_indices(p, 1)]).all()
    whole = np.empty((p, p))
    mirror_lower(lower, size, whole)
    full = np.tril(lower) + np.tril(lower, -1).T
    np.testing.assert_array_equal(whole, full * size[:, None] * size)
    doubled, raised = matrix.copy(), matrix.copy()
    add_halves(doubled)
    np.testing.assert_array_equal(doubled, matrix + matrix.T - np.diag(np.diag(matrix)))
    add_outer(raised, 3.0, direction)
    np.testing.assert_array_equal(raised, matrix + 3.0 * np.outer(direction, direction))


def test_fixed_parameters_have_no_errors_and_add_none():
    matrix = np.array([[4.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 2.0]])  # the second is fixed
    free, push = np.array([True, False, True]), np.zeros(3)
    blocks = Blocks(np.array([0, 3]), matrix.ravel().copy())
    pins = [(0.5, np.array([1.0, 3.0, 0.0]), 0.0)]
    in_blocks = BlockSystem(
        blocks, lambda x: matrix @ x, blocks.changed(np.zeros(9)), pins, 0.0, free, push, lambda: None
    )
    pinned = matrix + 0.5 * np.outer([1.0, 0.0, 0.0], [1.0, 0.0, 0.0])
    for found in (in_blocks.inverse.number(0), WholeSystem(pinned, push, free).inverse.matrix):
        assert found[1].tolist() == [0.0, 0.0, 0.0] == found[:, 1].tolist()
        np.testing.assert_allclose(found[np.ix_(free, free)], np.linalg.inv(pinned[np.ix_(free, free)]), rtol=1e-9)
