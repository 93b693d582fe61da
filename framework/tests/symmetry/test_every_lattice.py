"""Cells, orientations and lattices of random crystals in every setting, beside gemmi."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from spindle.models import Crystal
from spindle.symmetry import (
    bravais_type,
    cell_parameters,
    constrain_A,
    is_systematically_absent,
    niggli_reduce,
    orthogonalisation,
    primitive_operator,
    reference_operator,
    symmetrise_cell,
    unique_indices,
)

SETTINGS = list(gemmi.spacegroup_table())
LATTICES = ("aP", "mP", "mC", "oP", "oC", "oF", "oI", "tP", "tI", "hR", "hP", "cP", "cF", "cI")


def random_cells(groups, seed):
    """(group, its cell): edges of 5 to 200 A, angles of 70 to 110 degrees before symmetry averages them."""
    rng = np.random.default_rng(seed)
    for group in groups:
        edges = np.exp(rng.uniform(np.log(5.0), np.log(200.0), 3))
        yield group, symmetrise_cell([*edges, *rng.uniform(70.0, 110.0, 3)], group)


@pytest.mark.parametrize("seed", [1, 2])
def test_conventions_of_cells_and_orientations_are_those_of_gemmi(seed):
    rng = np.random.default_rng(seed)
    hkl = rng.integers(-9, 10, (20, 3)).astype(np.int32)
    hkl = hkl[hkl.any(axis=1)]
    for group, cell in random_cells(SETTINGS[seed % 2 :: 2], seed):
        theirs = gemmi.UnitCell(*cell)
        assert theirs.is_compatible_with_spacegroup(group), group.xhm()
        U = Rotation.random(random_state=rng.integers(2**31)).as_matrix()
        crystal = Crystal.from_cell(cell, U, group)
        np.testing.assert_allclose(orthogonalisation(cell), theirs.orth.mat.tolist(), rtol=1e-12)
        np.testing.assert_allclose(crystal.B, np.array(theirs.frac.mat.tolist()).T, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(crystal.U, U, atol=1e-9)
        np.testing.assert_allclose(crystal.cell, cell, rtol=1e-9)
        np.testing.assert_allclose(cell_parameters(crystal.real_space), cell, rtol=1e-9)
        assert crystal.volume == pytest.approx(theirs.volume, rel=1e-9)
        d = 1.0 / np.linalg.norm(hkl @ crystal.A.T, axis=1)
        np.testing.assert_allclose(d, theirs.calculate_d_array(hkl), rtol=1e-9)


@pytest.mark.parametrize("seed", [3, 4])
def test_reduced_cells_of_centred_lattices_are_those_of_gemmi(seed):
    """gemmi is given the centred cell and its centring; ours goes by any primitive basis."""
    rng = np.random.default_rng(seed)
    for group, cell in random_cells(SETTINGS[seed % 2 :: 2], seed):
        expected = gemmi.GruberVector(gemmi.UnitCell(*cell), group)
        expected.niggli_reduce()
        steps = np.eye(3)
        for i, j in ((0, 1), (1, 2), (2, 0)):
            steps[i] += rng.integers(-1, 2) * steps[j]
        basis = steps @ primitive_operator(group).matrix @ orthogonalisation(cell).T
        reduced, _ = niggli_reduce(basis)
        found = cell_parameters(reduced)
        np.testing.assert_allclose(found, expected.cell_parameters(), rtol=1e-5, atol=1e-3, err_msg=group.xhm())


def test_the_reference_setting_of_every_setting_is_that_of_gemmi():
    """The operator makes the operators of one those of the other, and keeps spots where they are and absent ones absent."""
    hkl = np.random.default_rng(5).integers(-7, 8, (40, 3)).astype(np.int32)
    hkl = hkl[hkl.any(axis=1)]
    for group, cell in random_cells(SETTINGS, 5):
        reference = gemmi.get_spacegroup_reference_setting(group.number)
        by_cell = [reference_operator(group, cell)] if group.crystal_system_str() == "monoclinic" else []
        for operator in [reference_operator(group), *by_cell]:
            assert operator.apply_to_group(group) == reference.operations(), group.xhm()
            there = operator.apply_to_cell(cell)
            assert gemmi.UnitCell(*there).is_compatible_with_spacegroup(reference), group.xhm()
            new, whole = operator.apply_to_indices(hkl)
            assert is_systematically_absent(hkl[~whole], group).all(), group.xhm()
            np.testing.assert_array_equal(
                is_systematically_absent(new[whole], reference), is_systematically_absent(hkl[whole], group)
            )
            np.testing.assert_allclose(
                gemmi.UnitCell(*there).calculate_d_array(new[whole]),
                gemmi.UnitCell(*cell).calculate_d_array(hkl[whole]), rtol=1e-6,
            )  # fmt: skip


@pytest.mark.parametrize("lattice", LATTICES)
def test_constraining_stretches_a_crystal_to_its_symmetry_and_does_not_turn_it(lattice):
    """A stack of disturbed matrices: what takes each to its constrained one is symmetric, a strain without a rotation."""
    rng = np.random.default_rng(LATTICES.index(lattice))
    groups = [g for g in SETTINGS if bravais_type(g) == lattice]
    for group, cell in random_cells([groups[i] for i in rng.choice(len(groups), 4)], 6):
        true = Crystal.from_cell(cell, Rotation.random(random_state=rng.integers(2**31)).as_matrix(), group).A
        given = (np.eye(3) + rng.normal(0, 1e-3, (5, 3, 3))) @ true
        found = constrain_A(given, group)
        for one, before in zip(found, given, strict=True):
            assert gemmi.UnitCell(*cell_parameters(np.linalg.inv(one))).is_compatible_with_spacegroup(group, 1e-6)
            strain = before @ np.linalg.inv(one)
            np.testing.assert_allclose(strain, strain.T, atol=1e-12)
            assert np.abs(strain - np.eye(3)).max() < 0.02
        np.testing.assert_allclose(constrain_A(found, group), found, rtol=1e-9, atol=1e-12)


def test_as_many_unique_indices_as_gemmi_counts():
    for group, cell in random_cells(SETTINGS[::9], 7):
        unit_cell = gemmi.UnitCell(*cell)
        d_min = (unit_cell.volume / 300.0) ** (1 / 3)
        found = unique_indices(cell, group, d_min)
        assert len(found) == gemmi.count_reflections(unit_cell, group, d_min), group.xhm()
        assert len(np.unique(found, axis=0)) == len(found)
