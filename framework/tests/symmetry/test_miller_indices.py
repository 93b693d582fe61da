"""Asymmetric unit, absences and multiplicities of index arrays, against gemmi over all its space group settings."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from spindle.errors import ModelError, ParameterError, ShapeError
from spindle.symmetry import (
    asu_indices,
    bravais_type,
    chiral_symmorphic_group,
    epsilon_factors,
    is_centric,
    is_centring_absent,
    is_systematically_absent,
    laue_group_ops,
    original_indices,
    patterson_operations,
    space_group,
    unique_indices,
)


@pytest.fixture(scope="module")
def hkl():
    return np.random.default_rng(1).integers(-5, 6, (60, 3)).astype(np.int32)


def test_asu_mapping_equals_gemmi_in_every_setting(hkl):
    for group in gemmi.spacegroup_table():
        mapped, isym = asu_indices(hkl, group)
        asu, ops = gemmi.ReciprocalAsu(group), group.operations()
        expected = [asu.to_asu(index, ops) for index in hkl.tolist()]
        assert mapped.tolist() == [list(index) for index, _ in expected], group.xhm()
        assert isym.tolist() == [number for _, number in expected], group.xhm()
        np.testing.assert_array_equal(original_indices(mapped, isym, group), hkl)


def test_absences_and_multiplicities_equal_gemmi_in_every_setting(hkl):
    for group in gemmi.spacegroup_table():
        ops = group.operations()
        assert is_systematically_absent(hkl, group).tolist() == [ops.is_systematically_absent(h) for h in hkl.tolist()]
        assert epsilon_factors(hkl, group, with_centring=True).tolist() == [ops.epsilon_factor(h) for h in hkl.tolist()]
        assert is_centric(hkl, group).tolist() == [ops.is_reflection_centric(h) for h in hkl.tolist()]
        centring = group.operations().derive_symmorphic()
        assert is_centring_absent(hkl, group).tolist() == [centring.is_systematically_absent(h) for h in hkl.tolist()]


def test_equivalent_indices_share_one_place_in_the_asymmetric_unit(hkl):
    for number in range(1, 231):
        reference, _ = asu_indices(hkl, number)
        for rotation in laue_group_ops(number):
            np.testing.assert_array_equal(asu_indices(hkl @ rotation, number)[0], reference)


def test_laue_group_has_the_order_of_the_patterson_group():
    for group in gemmi.spacegroup_table():
        assert len(laue_group_ops(group)) == len(patterson_operations(group).sym_ops), group.xhm()
        assert len(laue_group_ops(group, proper=True)) * 2 == len(laue_group_ops(group))


@pytest.mark.parametrize(
    ("group", "lattice", "chiral"),
    [
        ("P43212", "tP", "P 4 2 2"),
        ("C2/c", "mC", "C 1 2 1"),
        ("I 1 2 1", "mC", "I 1 2 1"),
        ("R3:R", "hR", "R 3:R"),
        ("A 2 2 2", "oC", "A 2 2 2"),
        (225, "cF", "F 4 3 2"),
        (152, "hP", "P 3 2 1"),
    ],
)
def test_lattice_and_chiral_group(group, lattice, chiral):
    assert bravais_type(group) == lattice
    assert chiral_symmorphic_group(group).xhm() == chiral


def test_there_are_fourteen_bravais_types():
    assert len({bravais_type(group) for group in gemmi.spacegroup_table()}) == 14


def test_unique_indices_are_the_asymmetric_unit():
    cell = (30, 40, 50, 90, 90, 90)
    unique = unique_indices(cell, "P212121", 3.0, absences=True)
    mapped, _ = asu_indices(unique, "P212121")
    np.testing.assert_array_equal(mapped, unique)
    present = unique_indices(cell, "P212121", 3.0)
    assert len(present) == np.count_nonzero(~is_systematically_absent(unique, "P212121"))


@pytest.mark.parametrize("d_min", [0.001, 0.0, float("nan")])
def test_more_unique_indices_than_any_crystal_has_are_refused(d_min):
    with pytest.raises(ModelError, match="limit the resolution"):
        unique_indices((78.9, 78.9, 37.95, 90, 90, 90), "P 1", d_min)


def test_unknown_symbol_says_what_is_accepted():
    with pytest.raises(ParameterError, match="P212121"):
        space_group("P 99")
    with pytest.raises(ParameterError, match="231"):
        space_group(231)


def test_wrong_shape_is_refused():
    with pytest.raises(ShapeError):
        asu_indices(np.zeros((3, 2)), 1)
