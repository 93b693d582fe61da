"""The change of basis between two descriptions of one lattice."""

from __future__ import annotations

import numpy as np
import pytest

from spindle.errors import UserError
from spindle.geometry import rotation_matrix
from spindle.models import Crystal
from spindle.symmetry import ChangeOfBasis, change_crystal_basis
from spindle.testing.indexing import random_rotation
from spindle_lib_reindexing import match


@pytest.mark.parametrize(
    ("cell", "group", "operator"),
    [
        ((31.2, 37.5, 42.1, 81, 77, 68), "P 1", "b,c,a"),
        ((31.2, 37.5, 42.1, 81, 77, 68), "P 1", "a+b,b-c,a+b+c"),
        ((61.2, 37.5, 42.1, 90, 101, 90), "C 1 2 1", "1/2*a+1/2*b,-1/2*a+1/2*b,c"),
        ((61.2, 37.5, 42.1, 90, 101, 90), "C 1 2 1", "-a-c,b,a"),
        ((51.2, 51.2, 33.3, 90, 90, 90), "P 4", "b,-a,c"),
        ((51.2, 51.2, 33.3, 90, 90, 90), "P 4", "b,a,-c"),  # a symmetry of the lattice, not of the group
        ((50.0, 50.4, 51.0, 90, 90, 90), "P 2 2 2", "c,a,b"),  # nearly cubic
    ],
)
def test_the_operator_between_two_settings_of_one_crystal_is_found(cell, group, operator):
    first = Crystal.from_cell(cell, random_rotation(1), group)
    wanted = ChangeOfBasis.from_string(operator)
    second = change_crystal_basis(first, wanted, "P 1" if "1/2" in operator or group == "P 4" else None)
    noise = 1 + np.random.default_rng(0).normal(0, 2e-4, (3, 3))
    found = match(first, second.with_A(second.A * noise))
    np.testing.assert_allclose(found.operator.matrix, wanted.matrix, atol=1e-9)
    assert found.angle_deg < 0.1


def test_a_turned_crystal_is_found_with_its_rotation():
    first = Crystal.from_cell((31.2, 37.5, 42.1, 81, 77, 68), random_rotation(1))
    axis = np.array([0.36, 0.48, 0.8])
    turn = rotation_matrix(axis, np.deg2rad(140.0))
    second = change_crystal_basis(first.with_A(turn @ first.A), ChangeOfBasis.from_string("c,a,b"))
    found = match(first, second)
    assert found.operator.as_abc() == "c,a,b"
    assert found.angle_deg == pytest.approx(140.0)
    np.testing.assert_allclose(found.axis, axis, atol=1e-9)
    np.testing.assert_allclose(found.rotation, turn, atol=1e-9)


def test_half_a_turn_has_an_axis():
    first = Crystal.from_cell((31.2, 37.5, 42.1, 81, 77, 68))
    found = match(first, first.with_A(np.diag([1.0, -1.0, -1.0]) @ first.A))
    assert found.angle_deg == pytest.approx(180.0)
    np.testing.assert_allclose(np.abs(found.axis), [1, 0, 0], atol=1e-7)


def test_another_lattice_is_refused():
    first, second = Crystal.from_cell((31, 37, 42, 81, 77, 68)), Crystal.from_cell((31, 37, 55, 90, 90, 90))
    with pytest.raises(UserError, match="not those of one lattice"):
        match(first, second)
