"""Where hexagonal ice scatters, against published powder lines and against gemmi."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from spindle_lib_ice import BROAD_RINGS, SPACE_GROUP, UNIT_CELL, in_broad_ring, in_intervals, ring_intervals


def gemmi_rings(d_min: float) -> np.ndarray:
    """1/d^2 of all reflections that the group allows, by trying each index."""
    cell, operations = gemmi.UnitCell(*UNIT_CELL), gemmi.SpaceGroup(SPACE_GROUP).operations()
    n = int(8 / d_min)
    grid = [(h, k, l) for h in range(n) for k in range(n) for l in range(2 * n)]
    allowed = [hkl for hkl in grid if any(hkl) and not operations.is_systematically_absent(hkl)]
    squares = np.array([cell.calculate_1_d2(hkl) for hkl in allowed])
    return np.unique(np.round(squares[squares <= d_min**-2], 9))


def test_rings_are_those_of_the_powder_pattern():
    # First powder lines of ice Ih: 3.90, 3.67, 3.44, 2.67, 2.25, 2.07 angstrom (Thorn et al. 2017, Acta Cryst. D73, 729).
    rings = ring_intervals(2.05)
    assert np.allclose(1 / np.sqrt(rings.mean(axis=1)), [3.895, 3.661, 3.44, 2.67, 2.249, 2.072], atol=0.01)
    assert np.allclose(np.diff(rings, axis=1), 0.002)


@pytest.mark.parametrize("d_min", [3.0, 1.5, 1.0])
def test_there_is_one_ring_for_each_distance_that_the_group_allows(d_min):
    rings = ring_intervals(d_min, width=1e-6)
    assert np.allclose(rings.mean(axis=1), gemmi_rings(d_min), atol=1e-8)


def test_rings_that_touch_are_one():
    # 0.5302 and 0.5356 are closer than this width.
    narrow, wide = ring_intervals(1.36, 0.002), ring_intervals(1.36, 0.006)
    assert len(wide) < len(narrow)
    assert np.all(wide[1:, 0] > wide[:-1, 1])


def test_values_in_intervals_are_told_from_those_between_and_beyond():
    intervals = np.array([(1.0, 2.0), (3.0, 4.0)])
    values = np.array([[0.5, 1.5, 2.5], [3.5, 4.5, 3.0001]])
    assert in_intervals(values, intervals).tolist() == [[False, True, False], [True, False, True]]
    assert not in_intervals(values, np.empty((0, 2))).any()
    assert in_intervals(np.empty(0), intervals).shape == (0,)


def test_each_broad_ring_holds_exactly_one_ring_of_the_cell():
    middles = gemmi_rings(1.36)
    held = (middles[:, None] > BROAD_RINGS[:, 0]) & (middles[:, None] < BROAD_RINGS[:, 1])
    assert np.all(held.sum(axis=0) == 1)
    assert np.round(middles[~held.any(axis=1)], 3).tolist() == [0.297, 0.363, 0.495, 0.53]


def test_reflections_in_broad_rings():
    assert in_broad_ring(np.array([3.90, 3.67, 3.44, 3.2, 2.67, 2.0, 1.0])).tolist() == [
        True, True, True, False, True, False, False,
    ]  # fmt: skip
