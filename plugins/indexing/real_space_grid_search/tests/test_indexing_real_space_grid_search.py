"""The search over directions for a known cell."""

from __future__ import annotations

import numpy as np
import pytest
from spindle_indexing_real_space_grid_search import RealSpaceGridSearchIndexing
from spindle_indexing_real_space_grid_search.algorithm import distinct

from spindle.contracts.indexing import IndexingError
from spindle.execution import Executor


def test_equal_and_opposite_vectors_are_one():
    vectors = np.array([[10.0, 0, 0], [-10.1, 0.2, 0], [0, 10.0, 0], [20.0, 0, 0]])
    assert distinct(vectors, 10) == [0, 2, 3]
    assert distinct(vectors, 2) == [0, 2]


def test_without_a_cell_it_says_what_to_give():
    with pytest.raises(IndexingError, match="unit_cell="):
        RealSpaceGridSearchIndexing().find_basis_vectors(rlp=np.ones((10, 3)), target_cell=None, executor=Executor())
