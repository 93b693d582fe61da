"""Reduction, lattice symmetry, changes of basis and constraints of cells."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from spindle.errors import ModelError, ParameterError
from spindle.models import Crystal
from spindle.symmetry import (
    ChangeOfBasis,
    asu_indices,
    cell_parameters,
    change_crystal_basis,
    constrain_crystal,
    lattice_subgroups,
    niggli_cell,
    niggli_reduce,
    orthogonalisation,
    primitive_operator,
    symmetrise_cell,
)
from spindle.symmetry.lattice import possible_two_folds

RNG = np.random.default_rng(5)
CELLS = {
    "aP": (31.2, 37.5, 42.1, 81, 77, 68),
    "mP": (31.2, 37.5, 42.1, 90, 101, 90),
    "mC": (61.2, 37.5, 42.1, 90, 101, 90),
    "oP": (31.2, 37.5, 42.1, 90, 90, 90),
    "oC": (31.2, 47.5, 42.1, 90, 90, 90),
    "oF": (31.2, 47.5, 62.1, 90, 90, 90),
    "oI": (31.2, 47.5, 52.1, 90, 90, 90),
    "tP": (51.2, 51.2, 33.3, 90, 90, 90),
    "tI": (51.2, 51.2, 33.3, 90, 90, 90),
    "hR": (51.2, 51.2, 93.3, 90, 90, 120),
    "hP": (51.2, 51.2, 33.3, 90, 90, 120),
    "cP": (51.2, 51.2, 51.2, 90, 90, 90),
    "cF": (51.2, 51.2, 51.2, 90, 90, 90),
    "cI": (51.2, 51.2, 51.2, 90, 90, 90),
}
GROUPS = {
    "aP": "P 1", "mP": "P 1 2 1", "mC": "C 1 2 1", "oP": "P 2 2 2", "oC": "C 2 2 2", "oF": "F 2 2 2",
    "oI": "I 2 2 2", "tP": "P 4 2 2", "tI": "I 4 2 2", "hR": "R 3 2:H", "hP": "P 6 2 2", "cP": "P 4 3 2",
    "cF": "F 4 3 2", "cI": "I 4 3 2",
}  # fmt: skip


def random_unimodular():
    matrix = np.eye(3, dtype=int)
    for _ in range(4):
        i, j = RNG.permutation(3)[:2]
        matrix[i] += RNG.integers(-1, 2) * matrix[j]
    return matrix


def test_reduction_finds_the_same_cell_from_any_basis():
    for cell in CELLS.values():
        basis = orthogonalisation(cell).T
        expected = niggli_cell(cell)
        for _ in range(10):
            scrambled = random_unimodular() @ basis
            reduced, transform = niggli_reduce(scrambled)
            np.testing.assert_allclose(cell_parameters(reduced), expected, atol=1e-6)
            np.testing.assert_allclose(transform @ scrambled, reduced, atol=1e-9)
            assert round(np.linalg.det(transform)) == 1


def test_reduction_equals_gemmi():
    for _ in range(200):
        cell = np.concatenate([RNG.uniform(5, 100, 3), RNG.uniform(65, 115, 3)])
        basis = random_unimodular() @ orthogonalisation(cell).T
        gruber = gemmi.GruberVector(gemmi.UnitCell(*cell_parameters(basis)), None)
        gruber.niggli_reduce()
        np.testing.assert_allclose(cell_parameters(niggli_reduce(basis)[0]), gruber.cell_parameters(), atol=1e-4)


def test_reduction_refuses_a_flat_cell():
    with pytest.raises(ModelError, match="degenerate"):
        niggli_reduce(np.array([[10.0, 0, 0], [0, 10.0, 0], [10.0, 10.0, 0]]))


def test_a_reduced_cell_has_81_possible_two_folds():
    """Lebedev, Vagin & Murshudov (2006)."""
    assert len(possible_two_folds().rotations) == 81


@pytest.mark.parametrize("bravais", CELLS)
def test_each_bravais_lattice_is_recognised_from_any_primitive_basis(bravais):
    cell, group = CELLS[bravais], GROUPS[bravais]
    to_primitive = ChangeOfBasis(random_unimodular()) @ primitive_operator(group)
    primitive = to_primitive.apply_to_cell(cell)
    best = lattice_subgroups(primitive, max_delta=0.1)[0]
    assert best.bravais.replace("mI", "mC") == bravais
    assert best.max_angular_difference < 1e-4
    expected_volume = gemmi.UnitCell(*cell).volume
    assert gemmi.UnitCell(*best.best_cell).volume == pytest.approx(expected_volume)
    if bravais not in ("mP", "mC", "aP"):
        np.testing.assert_allclose(np.sort(best.best_cell[:3]), np.sort(cell[:3]), atol=1e-6)
    np.testing.assert_allclose(best.to_best.apply_to_cell(primitive), best.best_cell, atol=1e-4)


def test_lattice_symmetries_of_a_distorted_hexagonal_cell_match_cctbx():
    """Deviations of cctbx's lattice_symmetry for this cell, from DIALS 3.12.1."""
    found = lattice_subgroups((50.3, 50.9, 79.6, 90.4, 89.7, 119.2))
    assert [(s.bravais, round(s.max_angular_difference, 4)) for s in found][:2] == [("hP", 1.2544), ("oC", 1.2544)]
    assert sorted(round(s.max_angular_difference, 4) for s in found if s.bravais == "oC") == [0.5093, 0.8772, 1.2544]
    assert found[-1].bravais == "aP" and found[-1].max_angular_difference == 0
    centred = [s.best_cell for s in found if s.bravais == "mC" and round(s.max_angular_difference, 4) == 1.1942]
    np.testing.assert_allclose(centred[0], (50.9, 87.83, 79.6, 90, 90.4, 90), atol=0.01)


def test_subgroups_below_the_holohedry_are_given_when_asked():
    found = lattice_subgroups((51, 51, 33, 90, 90, 90), holohedries_only=False)
    assert {"P 4", "P 4 2 2", "P 2 2 2", "P 1 2 1", "C 2 2 2"} <= {s.group.xhm() for s in found}


def test_change_of_basis_notations_agree():
    """C-centred to primitive: abc, hkl and xyz are three spellings of one operator (xyz is the inverse transpose)."""
    by_bases = ChangeOfBasis.from_string("1/2*a+1/2*b,-1/2*a+1/2*b,c")
    by_indices = ChangeOfBasis.from_string("1/2*h+1/2*k,-1/2*h+1/2*k,l")
    by_coordinates = ChangeOfBasis.from_string("x+y,-x+y,z")
    np.testing.assert_allclose(by_bases.matrix, by_indices.matrix)
    np.testing.assert_allclose(by_bases.matrix, by_coordinates.matrix)
    for short in ("1/2a+1/2b,-1/2a+1/2b,c", "a/2+b/2, 0.5b - 0.5 a, 1c"):
        np.testing.assert_allclose(ChangeOfBasis.from_string(short).matrix, by_bases.matrix)
    assert ChangeOfBasis.from_string(by_bases.as_abc()).as_xyz() == by_coordinates.as_xyz() == "x+y,-x+y,z"
    assert (by_bases @ by_bases.inverse()).is_identity()


def test_nonsense_operator_is_refused():
    with pytest.raises(ParameterError, match="operator"):
        ChangeOfBasis.from_string("a,b,q")


def test_reindexed_crystal_predicts_the_same_reciprocal_points():
    crystal = Crystal.from_cell(CELLS["mC"], space_group="C 1 2 1")
    operator = ChangeOfBasis.from_string("a+c,-b,-c")
    moved = change_crystal_basis(crystal, operator)
    assert moved.space_group.xhm() == "I 1 2 1"
    hkl = RNG.integers(-9, 9, (50, 3))
    new, integral = operator.apply_to_indices(hkl)
    assert integral.all()
    np.testing.assert_allclose(new @ moved.A.T, hkl @ crystal.A.T, atol=1e-12)


@pytest.mark.parametrize("number", [5, 20, 22, 79, 146, 196])
def test_a_centred_group_loses_its_centring_in_a_primitive_cell_and_gains_it_back(number):
    group = gemmi.get_spacegroup_reference_setting(number)
    to_primitive = primitive_operator(group)
    primitive = to_primitive.apply_to_group(group)
    assert len(primitive.cen_ops) == 1
    back = to_primitive.inverse().apply_to_group(primitive)
    assert gemmi.find_spacegroup_by_ops(back).number == number


@pytest.mark.parametrize("bravais", CELLS)
def test_constraining_gives_the_exact_metric_and_leaves_a_perfect_crystal_alone(bravais):
    crystal = Crystal.from_cell(CELLS[bravais], space_group=GROUPS[bravais])
    np.testing.assert_allclose(constrain_crystal(crystal, GROUPS[bravais]).A, crystal.A, atol=1e-10)
    disturbed = crystal.with_A(crystal.A * (1 + RNG.normal(0, 1e-3, (3, 3))))
    constrained = constrain_crystal(disturbed, GROUPS[bravais])
    np.testing.assert_allclose(symmetrise_cell(constrained.cell, GROUPS[bravais]), constrained.cell, atol=1e-9)
    np.testing.assert_allclose(constrained.cell, crystal.cell, rtol=0.02)
    mapped = [asu_indices(h[None], GROUPS[bravais])[0] for h in RNG.integers(-5, 5, (3, 3))]
    assert len(mapped) == 3
