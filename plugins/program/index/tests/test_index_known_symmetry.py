"""A reduced lattice is brought into the setting that the user knows, for every Sohncke group that gemmi tabulates (and those
whose reference setting is A centred).
"""

from __future__ import annotations

import gemmi
import numpy as np
import pytest
from spindle_program_index.known_symmetry import KnownSymmetry

from spindle.symmetry import (
    ChangeOfBasis,
    cell_parameters,
    centring_vectors,
    niggli_reduce,
    orthogonalisation,
    primitive_operator,
)
from spindle.testing.indexing import random_rotation

CELLS = {
    "triclinic": (31.2, 37.5, 42.1, 81, 77, 68),
    "monoclinic": (61.2, 37.5, 42.1, 90, 101, 90),
    "orthorhombic": (31.2, 47.5, 62.1, 90, 90, 90),
    "tetragonal": (51.2, 51.2, 33.3, 90, 90, 90),
    "trigonal": (51.2, 51.2, 93.3, 90, 90, 120),
    "hexagonal": (51.2, 51.2, 33.3, 90, 90, 120),
    "cubic": (51.2, 51.2, 51.2, 90, 90, 90),
}
GROUPS = [group for group in gemmi.spacegroup_table() if group.is_sohncke()]


def cell_in(group):
    cell = np.array(CELLS[group.crystal_system_str()], dtype=float)
    if group.is_reference_setting():
        return cell
    to_reference = np.array(group.basisop.rot, dtype=float).T / gemmi.Op.DEN
    return ChangeOfBasis(np.linalg.inv(to_reference)).apply_to_cell(cell)


def disturbed_reduced_basis(group):
    basis = orthogonalisation(cell_in(group)).T @ random_rotation(3).T
    reduced = niggli_reduce(primitive_operator(group).matrix @ basis)[0]
    return reduced * (1 + np.random.default_rng(group.number).normal(0, 1e-3, (3, 3)))


def assert_is_that_lattice(A, reduced, group):
    coordinates = np.linalg.inv(A) @ np.linalg.inv(reduced)
    whole = np.rint(coordinates)
    assert np.abs(coordinates - whole).max() < 0.05
    n_points = len(centring_vectors(group))
    assert round(np.linalg.det(whole)) == n_points
    points = centring_vectors(group) @ whole
    np.testing.assert_allclose(points, np.rint(points), atol=1e-6)


@pytest.mark.parametrize("group", GROUPS, ids=lambda g: g.xhm())
def test_with_cell(group):
    reduced, cell = disturbed_reduced_basis(group), cell_in(group)
    A = KnownSymmetry(group, cell, 0.1, 5.0, 5.0).constrained(reduced)
    assert A is not None
    found = cell_parameters(np.linalg.inv(A))
    np.testing.assert_allclose(found[:3], cell[:3], rtol=0.01)
    np.testing.assert_allclose(found[3:], cell[3:], atol=0.5)
    assert_is_that_lattice(A, reduced, group)


WITHOUT_CELL = [g for g in gemmi.spacegroup_table() if g.number > 1 and (g.is_sohncke() or 38 <= g.number <= 41)]


@pytest.mark.parametrize("group", WITHOUT_CELL, ids=lambda g: g.xhm())
def test_without_cell(group):
    reduced = disturbed_reduced_basis(group)
    A = KnownSymmetry(group, None, 0.1, 5.0, 5.0).constrained(reduced)
    assert A is not None
    assert_is_that_lattice(A, reduced, group)
    unique = group.monoclinic_unique_axis() if group.crystal_system_str() == "monoclinic" else ""
    if unique and not group.is_reference_setting():
        oblique = 3 + "abc".index(unique)
        angle, other = cell_parameters(np.linalg.inv(A))[oblique], cell_in(group)[oblique]
        assert 90 <= round(angle, 6) < 125
        assert angle <= max(other, 180 - other) + 0.5


@pytest.mark.parametrize("symbol", ["A 1", "B -1", "C -1", "F 1", "I 1"])
def test_a_centred_triclinic_cell_is_the_same_from_any_description_and_nearest_to_right_angles(symbol):
    group = gemmi.SpaceGroup(symbol)
    cell = (8.1, 9.3, 10.2, 88.3, 86.4, 89.1)
    A = KnownSymmetry(group, None, 0.1, 5.0, 5.0).constrained(
        niggli_reduce(primitive_operator(group).matrix @ orthogonalisation(cell).T @ random_rotation(2).T)[0]
    )
    np.testing.assert_allclose(cell_parameters(np.linalg.inv(A)), cell, atol=1e-6)


def test_the_shortest_cell_of_a_setting_is_taken_without_a_cell():
    group = gemmi.SpaceGroup("P 1 21/n 1")
    basis = orthogonalisation((8.7, 12.1, 10.3, 90, 97.2, 90)).T @ random_rotation(1).T
    A = KnownSymmetry(group, None, 0.1, 5.0, 5.0).constrained(niggli_reduce(basis)[0])
    np.testing.assert_allclose(cell_parameters(np.linalg.inv(A)), (8.7, 12.1, 10.3, 90, 97.2, 90), atol=1e-6)


@pytest.mark.parametrize("symbol", ["B 1 2 1", "B 1 21 1", "C 1 1 2", "C 1 1 21", "F 1 2 1"])
def test_of_cells_that_are_centred_where_they_need_not_be_always_the_same_is_taken(symbol):
    """Three cells have twice the volume of a primitive monoclinic one and are centred: whichever is described, that nearest to 90 degrees comes out."""
    group = gemmi.SpaceGroup(symbol)
    basis = np.array(orthogonalisation((20.0, 37.5, 27.0, 90, 104, 90)).T)
    if group.monoclinic_unique_axis() == "c":
        basis = basis[[2, 0, 1]]
    found = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        change = np.rint(np.linalg.qr(rng.normal(size=(3, 3)))[0] * 2)
        turned = basis @ random_rotation(seed).T
        if abs(round(np.linalg.det(change))) == 1:
            turned = change @ turned
        A = KnownSymmetry(group, None, 0.1, 5.0, 5.0).constrained(
            niggli_reduce(primitive_operator(group).matrix @ turned)[0]
        )
        found.append(cell_parameters(np.linalg.inv(A)))
    np.testing.assert_allclose(found, [found[0]] * len(found), rtol=1e-6)
    given = KnownSymmetry(group, cell_parameters(basis), 0.1, 5.0, 5.0)
    A = given.constrained(niggli_reduce(primitive_operator(group).matrix @ basis @ random_rotation(1).T)[0])
    np.testing.assert_allclose(cell_parameters(np.linalg.inv(A)), cell_parameters(basis), rtol=1e-6)  # the user's own


def known(group, cell, volume_of_cell=True):
    return KnownSymmetry(gemmi.SpaceGroup(group), np.array(cell, float) if volume_of_cell else None, 0.1, 5.0, 5.0)


def test_many_cells_are_told_apart_at_once():
    tetragonal, rng = CELLS["tetragonal"], np.random.default_rng(3)
    others = [CELLS["cubic"], CELLS["orthorhombic"], CELLS["triclinic"], (102.4, 102.4, 33.3, 90, 90, 90)]
    cells = [tetragonal, *others, tetragonal, tetragonal]
    bases = np.array([niggli_reduce(orthogonalisation(cell).T @ random_rotation(rng).T)[0] for cell in cells])
    is_it = [cell == tetragonal for cell in cells]
    assert known("P 43 21 2", tetragonal).may_fit(bases).tolist() == is_it
    # without a cell the two-folds decide: a cube has those of a tetragonal lattice, and so has the larger cell
    of_any_size = known("P 43 21 2", tetragonal, volume_of_cell=False).may_fit(bases)
    assert of_any_size.tolist() == [True, True, False, False, True, True, True]
