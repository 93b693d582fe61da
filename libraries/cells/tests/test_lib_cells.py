"""Distances of cells do not depend on the basis, and are those of Andrews & Bernstein for cells that are nearly the same."""

from __future__ import annotations

import numpy as np
import pytest

from spindle.symmetry import ChangeOfBasis
from spindle_lib_cells.clusters import clusters
from spindle_lib_cells.distances import cell_distances, metrics_of_cells

# Reduced cells and their NCDist from cctbx of DIALS 3.12.
PAIRS = [
    ((36.1, 38.2, 41.0, 85.0, 82.0, 88.0), (36.3, 38.1, 41.2, 85.5, 82.2, 87.5), 43.38516),
    ((50.0, 60.0, 70.0, 90.3, 90.2, 90.4), (50.2, 60.1, 69.8, 89.8, 89.9, 89.7), 54.71650),
]


@pytest.mark.parametrize(("one", "two", "expected"), PAIRS)
def test_distances_are_those_of_ncdist(one, two, expected):
    assert cell_distances([one, two])[0, 1] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("operator", ["b,c,a", "a+b,b,c", "-a,b-a,-c-b", "a,b+c,c-a"])
def test_the_basis_does_not_matter(operator):
    cells = np.array([(40.0, 52.0, 61.0, 80.0, 95.0, 101.0), (40.5, 51.0, 61.5, 81.0, 94.5, 101.0)])
    there = cell_distances(cells)
    moved = np.array([cells[0], ChangeOfBasis.from_string(operator).apply_to_cell(cells[1])])
    assert np.allclose(cell_distances(moved), there, rtol=1e-6, atol=1e-6)
    assert there[0, 0] == 0 and there[0, 1] > 10


def test_cells_on_both_sides_of_a_boundary_are_near():
    """Angles just below and above 90 degrees give reduced cells of different types."""
    distance = cell_distances([(50, 60, 70, 90.05, 90.02, 90.04), (50, 60, 70, 89.96, 89.97, 89.94)])[0, 1]
    plain = np.linalg.norm(
        np.diff(metrics_of_cells([(50, 60, 70, 90.05, 90.02, 90.04), (50, 60, 70, 89.96, 89.97, 89.94)]), axis=0)
    )
    assert distance < 25 and distance <= plain


def test_groups_are_chains_of_near_cells():
    a = np.array([50.0, 50.1, 50.2, 50.3, 60.0, 60.05, 70.0])
    cells = np.stack([a, a + 10, a + 20, *np.full((3, 7), 90.0)], axis=1)
    found = clusters(cell_distances(cells), 30.0)
    assert found == [[0, 1, 2, 3], [4, 5], [6]]
    assert clusters(cell_distances(cells), None) == [list(range(7))]
    assert clusters(cell_distances(cells[:1]), 30.0) == [[0]] and clusters(cell_distances([]), 30.0) == []
