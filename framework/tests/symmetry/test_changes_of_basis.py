"""Changes of basis of random lattices of every type: cells, indices, groups and covariances, beside gemmi."""

from __future__ import annotations

from dataclasses import replace

import gemmi
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spindle.models import Crystal
from spindle.symmetry import (
    ChangeOfBasis,
    cell_deviations,
    change_crystal_basis,
    constrain_crystal,
    lattice_subgroups,
    orthogonalisation,
    primitive_operator,
    symmetrise_cell,
)

GROUPS = {
    "aP": "P 1", "mP": "P 1 2 1", "mC": "C 1 2 1", "oP": "P 2 2 2", "oC": "C 2 2 2", "oF": "F 2 2 2",
    "oI": "I 2 2 2", "tP": "P 4 2 2", "tI": "I 4 2 2", "hR": "R 3 2:H", "hP": "P 6 2 2", "cP": "P 4 3 2",
    "cF": "F 4 3 2", "cI": "I 4 3 2",
}  # fmt: skip
EDGE = st.floats(5.0, 300.0)
ANGLE = st.floats(60.0, 120.0)
#: Elementary changes of basis, whose products are all those of determinant 1.
STEP = st.tuples(st.permutations(range(3)), st.sampled_from([-1, 1]))


@st.composite
def lattices(draw):
    """A Bravais type and a cell of it."""
    bravais = draw(st.sampled_from(sorted(GROUPS)))
    edges = sorted(draw(st.tuples(EDGE, EDGE, EDGE)))
    edges = np.minimum(edges, 8.0 * edges[0])  # flatter ones are no cells of crystals
    angles = np.array(draw(st.tuples(ANGLE, ANGLE, ANGLE)))
    cosines = np.cos(np.deg2rad(angles))
    if 1 - cosines @ cosines + 2 * np.prod(cosines) < 0.05:
        angles[:] = 82.0, 97.0, 103.0
    start = gemmi.UnitCell(*edges, *angles)
    try:
        return bravais, symmetrise_cell(list(start.parameters), GROUPS[bravais])
    except np.linalg.LinAlgError:
        return bravais, symmetrise_cell([*edges, 82.0, 97.0, 103.0], GROUPS[bravais])


@st.composite
def unimodular(draw):
    """A whole matrix of determinant 1."""
    matrix = np.eye(3, dtype=int)
    for (i, j, _), sign in draw(st.lists(STEP, max_size=4)):
        matrix[i] += sign * matrix[j]
    return matrix


@settings(max_examples=60)
@given(lattices(), unimodular())
def test_cells_indices_and_groups_change_as_in_gemmi(lattice, matrix):
    bravais, cell = lattice
    operator = ChangeOfBasis(matrix)
    crystal = Crystal.from_cell(cell, space_group=GROUPS[bravais])
    # gemmi: x' = op x for coordinates, and h' = h op^-1 for indices
    op = operator.as_gemmi()
    np.testing.assert_allclose(
        operator.apply_to_cell(cell), gemmi.UnitCell(*cell).changed_basis_forward(op, False).parameters, rtol=1e-6
    )
    np.testing.assert_allclose(
        operator.inverse().apply_to_cell(cell),
        gemmi.UnitCell(*cell).changed_basis_backward(op, False).parameters,
        rtol=1e-6,
    )
    hkl = np.random.default_rng(0).integers(-20, 21, (10, 3))
    new, whole = operator.apply_to_indices(hkl)
    assert whole.all()
    inverse = op.inverse()
    np.testing.assert_array_equal(new, [inverse.apply_to_hkl(h.tolist()) for h in hkl])
    np.testing.assert_allclose(  # the spots stay where they are
        gemmi.UnitCell(*operator.apply_to_cell(cell)).calculate_d_array(new),
        gemmi.UnitCell(*cell).calculate_d_array(hkl.astype(np.int32)), rtol=1e-6,
    )  # fmt: skip
    moved = change_crystal_basis(crystal, operator, "P 1")
    np.testing.assert_allclose(new @ moved.A.T, hkl @ crystal.A.T, atol=1e-12)
    changed = operator.apply_to_group(GROUPS[bravais])
    expected = gemmi.SpaceGroup(GROUPS[bravais]).operations()
    expected.change_basis_forward(op)
    assert {o.triplet() for o in changed} == {o.triplet() for o in expected}


@settings(max_examples=60)
@given(lattices(), unimodular())
def test_every_setting_of_a_lattice_is_reached_by_its_operator(lattice, matrix):
    """Each symmetry's operator leads from the input to the symmetrised cell; gemmi knows the group and its cell."""
    bravais, cell = lattice
    to_primitive = ChangeOfBasis(matrix) @ primitive_operator(GROUPS[bravais])
    primitive = to_primitive.apply_to_cell(cell)
    found = lattice_subgroups(primitive, max_delta=2.0)
    best = [s for s in found if s.max_angular_difference < 1e-3]
    types = {s.bravais.replace("mI", "mC") for s in best}
    assert bravais in types
    rank = [s.group.number for s in best]
    assert max(rank) >= gemmi.SpaceGroup(GROUPS[bravais]).number  # a special cell may have more symmetry, none has less
    assert found[-1].bravais == "aP"
    for s in best:
        there = s.to_best.apply_to_cell(primitive)
        np.testing.assert_allclose(there, s.best_cell, rtol=1e-4)
        op = s.to_best.as_gemmi()
        np.testing.assert_allclose(
            gemmi.UnitCell(*primitive).changed_basis_forward(op, False).parameters, s.best_cell, rtol=1e-4
        )
        assert gemmi.UnitCell(*s.best_cell).is_compatible_with_spacegroup(s.group)
        assert round(np.linalg.det(s.to_best.matrix)) == len(s.group.operations().cen_ops)


@settings(max_examples=40)
@given(lattices(), unimodular())
def test_an_operator_survives_its_three_spellings(lattice, matrix):
    operator = ChangeOfBasis(matrix) @ primitive_operator(GROUPS[lattice[0]])
    for text in (operator.as_abc(), operator.as_hkl(), operator.as_xyz()):
        np.testing.assert_allclose(ChangeOfBasis.from_string(text).matrix, operator.matrix, atol=1e-9)
    np.testing.assert_allclose((operator.inverse() @ operator).matrix, np.eye(3), atol=1e-9)
    np.testing.assert_allclose(
        np.array(gemmi.Op(operator.as_xyz()).rot) / gemmi.Op.DEN, operator.xyz_rotation, atol=1e-9
    )


def _with_covariance(cell, seed=0, n_points=0):
    """A crystal whose covariance of B is that of random errors of its cell, and those errors' covariance, (6, 6)."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(6, 6)) * 1e-3
    step = 1e-4
    slope = np.array([(_B(cell + step * e) - _B(cell - step * e)).ravel() / (2 * step) for e in np.eye(6)])
    covariance = slope.T @ (root @ root.T) @ slope
    extra = {"B_covariance": covariance.ravel().tolist()}
    crystal = Crystal.from_cell(cell)
    if n_points:
        extra["B_covariance_at_scan_points"] = [covariance.ravel().tolist()] * n_points
        crystal = crystal.with_A(crystal.A, np.stack([crystal.A] * n_points))
    from dataclasses import replace

    return replace(crystal, extra=extra), root @ root.T


def _B(cell):
    return np.linalg.inv(orthogonalisation(cell)).T


def _deviations(function, cell, covariance):
    """Standard deviations of a function of the cell by numerical derivatives."""
    step = 1e-4
    slope = np.array([(function(cell + step * e) - function(cell - step * e)) / (2 * step) for e in np.eye(6)])
    return np.sqrt(np.diag(slope.T @ covariance @ slope))


TRICLINIC = np.array([31.2, 37.5, 42.1, 81.0, 97.0, 103.0])


def test_errors_of_the_cell_come_from_the_covariance_of_B():
    crystal, covariance = _with_covariance(TRICLINIC)
    found = cell_deviations(crystal.B, np.reshape(crystal.extra["B_covariance"], (9, 9)))
    np.testing.assert_allclose(found, np.sqrt(np.diag(covariance)), rtol=1e-6)


@pytest.mark.parametrize("text", ["a+b,b-c,a+b+c", "b,c,a", "1/2*a+1/2*b,-1/2*a+1/2*b,c"])
def test_covariances_change_with_the_basis(text):
    operator = ChangeOfBasis.from_string(text)
    crystal, covariance = _with_covariance(TRICLINIC, n_points=3)
    moved = change_crystal_basis(crystal, operator, "P 1")
    np.testing.assert_allclose(moved.cell_sd, _deviations(operator.apply_to_cell, TRICLINIC, covariance), rtol=1e-5)
    at_points = np.reshape(moved.extra["B_covariance_at_scan_points"], (3, 9, 9))
    np.testing.assert_allclose(at_points[2], np.reshape(moved.extra["B_covariance"], (9, 9)), rtol=1e-6, atol=1e-18)
    back = change_crystal_basis(moved, operator.inverse(), "P 1")
    np.testing.assert_allclose(back.extra["B_covariance"], crystal.extra["B_covariance"], rtol=1e-6, atol=1e-16)


def test_covariances_are_averaged_with_the_cell():
    cell = np.array([51.2, 51.25, 33.3, 90.02, 89.97, 90.03])
    crystal, covariance = _with_covariance(cell)
    constrained = constrain_crystal(crystal, "P 4")
    expected = _deviations(lambda c: symmetrise_cell(c, "P 4"), cell, covariance)
    np.testing.assert_allclose(constrained.cell_sd[:3], expected[:3], rtol=1e-4)
    assert constrained.cell_sd[0] == pytest.approx(constrained.cell_sd[1])
    np.testing.assert_array_equal(constrained.cell_sd[3:], 0)


def test_a_space_group_that_the_user_gave_stays_so_in_another_basis():
    crystal = Crystal.from_cell((31, 37, 42, 90, 90, 90)).with_space_group("P 21 21 2", known=True)
    moved = change_crystal_basis(crystal, ChangeOfBasis.from_string("b,c,a"))
    assert moved.space_group.xhm() == "P 21 2 21"
    assert moved.space_group_is_known


def test_a_recalculated_cell_changes_with_the_basis():
    """Edges and their errors change places; where the symmetry averages independent values, errors become smaller."""
    crystal = Crystal.from_cell((40.0, 41.0, 50.0, 90.0, 100.0, 90.0), np.eye(3), "P 1")
    more = {"recalculated_unit_cell": [40.1, 41.1, 50.1, 90.0, 100.2, 90.0], "recalculated_cell_volume_sd": 7.0}
    known = replace(crystal, cell_sd=np.array([0.01, 0.02, 0.03, 0.04, 0.05, 0.06]), extra=crystal.extra | more)
    turned = change_crystal_basis(known, ChangeOfBasis.from_string("c,a,b"))
    np.testing.assert_allclose(turned.extra["recalculated_unit_cell"], [50.1, 40.1, 41.1, 90.0, 90.0, 100.2])
    np.testing.assert_allclose(turned.cell_sd, [0.03, 0.01, 0.02, 0.06, 0.04, 0.05], rtol=1e-4)
    assert turned.extra["recalculated_cell_volume_sd"] == pytest.approx(7.0)
    double = change_crystal_basis(known, ChangeOfBasis.from_string("2*a,b,c"), "P 1")
    assert double.extra["recalculated_unit_cell"][0] == pytest.approx(80.2)
    assert double.extra["recalculated_cell_volume_sd"] == pytest.approx(14.0)
    square = replace(
        crystal.with_A(Crystal.from_cell((40, 40.2, 50, 90, 90, 90), np.eye(3), "P 1").A), cell_sd=known.cell_sd
    )
    square = replace(square, extra=square.extra | {"recalculated_unit_cell": [40.0, 40.2, 50.0, 90.0, 90.0, 90.0]})
    mean = constrain_crystal(square, "P 4")
    np.testing.assert_allclose(mean.extra["recalculated_unit_cell"][:3], [40.1, 40.1, 50.0], atol=2e-4)
    np.testing.assert_allclose(mean.cell_sd, [0.0112, 0.0112, 0.03, 0, 0, 0], atol=1e-4)
    assert constrain_crystal(mean, "P 4").cell_sd == pytest.approx(mean.cell_sd)
