"""`spindle compare_orientation_matrices`: known rotations between crystals whose bases are equal by symmetry."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gemmi
import numpy as np
import pytest
from spindle_program_compare_orientation_matrices.program import angle_between

import spindle
from spindle.cli.main import main
from spindle.contracts import ProgramInputs
from spindle.errors import UserError
from spindle.files import write_experiments
from spindle.geometry import rotation_matrix
from spindle.models import Crystal, Experiments
from spindle.testing.program import ProgramContract
from spindle.testing.refiner import rotation_experiment
from spindle_lib_reindexing.misorientation import Orientations, equivalents

AXIS = np.array([0.6, 0.0, 0.8])
CELLS = {
    "P 2": (40, 50, 60, 90, 105, 90),
    "P 4": (50, 50, 70, 90, 90, 90),
    "P 3 2 1": (50, 50, 70, 90, 90, 120),
    "P 2 3": (60, 60, 60, 90, 90, 90),
}


def turned(crystal, angle_deg, operator=0):
    """The crystal after a rotation about `AXIS`, in another of its equivalent bases."""
    moved = crystal.with_A(rotation_matrix(AXIS, np.radians(angle_deg)) @ crystal.A)
    return crystal.with_A(equivalents(moved).A[operator])


def experiments(*crystals):
    one = rotation_experiment(5)
    return Experiments([replace(one, identifier=str(k), crystal=c) for k, c in enumerate(crystals)])


def crystal(group, angle_deg=31.0):
    U = rotation_matrix(np.array([0.0, 0.6, 0.8]), np.radians(angle_deg))
    return Crystal.from_cell(CELLS[group], U, group)


class TestCompare(ProgramContract):
    name = "compare_orientation_matrices"

    @pytest.fixture
    def inputs(self):
        return ProgramInputs(experiments=experiments(crystal("P 4"), turned(crystal("P 4"), 5.0, 2)))


@pytest.mark.parametrize("group", CELLS)
def test_the_smallest_rotation_is_found_whatever_the_basis(group):
    first = crystal(group)
    for operator in range(len(equivalents(first).U)):
        second = turned(first, 7.0, operator)
        orientations = Orientations([first, second])
        (angle,), (which,) = orientations.angles([(0, 1)])
        best = orientations.rotation(0, 1, int(which))
        assert angle == pytest.approx(7.0, abs=1e-5)
        assert best.angle_deg == pytest.approx(7.0, abs=1e-6)
        assert np.allclose(best.axis, AXIS, atol=1e-6)
        assert np.allclose(best.rotation @ first.A, best.A, atol=1e-9)
        # The operator takes the basis of the second crystal to that of the equivalent.
        assert np.allclose(second.A @ np.linalg.inv(best.operator.matrix), best.A, atol=1e-12)


@pytest.mark.parametrize("group", CELLS)
def test_equivalents_are_as_many_as_proper_rotations_of_the_laue_group(group):
    n = len(gemmi.SpaceGroup(group).operations().derive_symmorphic().sym_ops)
    proper = sum(np.linalg.det(op.float_seitz())[()] > 0 for op in gemmi.SpaceGroup(group).operations().sym_ops)
    every = Orientations([crystal(group), turned(crystal(group), 3.0)]).all_rotations(0, 1)
    assert len(every) == proper == n
    assert [m.angle_deg for m in every] == sorted(m.angle_deg for m in every)


def test_pairs_angles_and_symmetry(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    first = crystal("P 4")
    write_experiments(experiments(first, turned(first, 2.0), turned(first, 5.0, 1)), "three.expt")
    words = ["compare_orientation_matrices", "three.expt"]
    assert main([*words, "hkl=0,0,1"]) == 0
    text = capsys.readouterr().out
    assert text.count("Rotation matrix to transform") == 3
    assert "Rotation of 5.000 degrees about axis (0.600, 0.000, 0.800)" in text
    assert "Equivalent rotations of crystal 1 to crystal 3" in text
    assert main([*words, "comparison=sequential", "space_group=P1"]) == 0
    text = capsys.readouterr().out
    assert text.count("Rotation matrix to transform") == 2 and "Equivalent" not in text
    assert "Rotation of 3.000 degrees" not in text  # the basis of the third is another one


def test_summary_and_unlike_cells(caplog):
    first = crystal("P 4")
    result = spindle.run("compare_orientation_matrices", experiments(first, turned(first, 4.0), crystal("P 2 3", 65.0)))
    assert result.summary["n_pairs"] == 3 and result.summary["smallest_angle_deg"] == pytest.approx(4.0, abs=1e-3)
    assert "the cells of 2 pairs differ" in caplog.text


def test_many_crystals_have_one_table():
    first = crystal("P 2")
    result = spindle.run("compare_orientation_matrices", experiments(*(turned(first, k / 10) for k in range(22))))
    (table,) = result.tables
    assert len(table.rows) == 201 and table.rows[0][2] == "0.100" and table.rows[-1][0] == "... 31 more"


def test_angles_of_reciprocal_vectors():
    A = crystal("P 4").A
    axis = A[:, 0] / np.linalg.norm(A[:, 0])
    other = rotation_matrix(axis, 0.3) @ A
    assert angle_between(A, other, (1, 0, 0)) == pytest.approx(0.0, abs=1e-6)
    assert angle_between(A, other, (0, 0, 1)) == pytest.approx(np.degrees(0.3))


def test_an_index_without_direction_is_refused_before_anything_is_told(caplog):
    first = crystal("P 2")
    with caplog.at_level("INFO"), pytest.raises(UserError, match="no direction"):
        spindle.run("compare_orientation_matrices", experiments(first, turned(first, 4.0)), hkl=[(1, 0, 0), (0, 0, 0)])
    assert "Equivalent rotations" not in caplog.text


def test_one_crystal_is_too_few():
    with pytest.raises(UserError, match="1 crystal in these experiments"):
        spindle.run("compare_orientation_matrices", experiments(crystal("P 2")))
    with pytest.raises(UserError, match="give experiment files"):
        spindle.run("compare_orientation_matrices")


def test_one_experiment_may_be_given_as_two_steps_left_it(tmp_path, monkeypatch, caplog):
    """Indexed and refined models of the same images, which have one identifier."""
    monkeypatch.chdir(tmp_path)
    (one,) = experiments(rotation_experiment(5).crystal)
    write_experiments(Experiments([one]), "indexed.expt")
    write_experiments(Experiments([replace(one, crystal=turned(one.crystal, 0.25))]), "refined.expt")
    assert main(["compare_orientation_matrices", "indexed.expt", "refined.expt"]) == 0
    assert "Rotation of 0.250 degrees" in caplog.text + Path("spindle.compare_orientation_matrices.log").read_text()
    assert main(["predict", "indexed.expt", "refined.expt"]) == 2
