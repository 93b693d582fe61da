"""`spindle align_crystal`: in the settings that come out the vectors are where they should be."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spindle_program_align_crystal.alignment import fold, laboratory_frame, read_vector, solutions, vector_pairs
from spindle_program_align_crystal.angles import three_angles

import spindle
from spindle.cli.main import main
from spindle.contracts import ProgramInputs
from spindle.errors import ParameterError, UserError
from spindle.files import write_experiments
from spindle.geometry import rotation_matrix
from spindle.models import Beam, Crystal, Experiments, Goniometer
from spindle.symmetry import laue_group_ops
from spindle.testing.program import ProgramContract
from spindle.testing.refiner import rotation_experiment

CHI = [[1.0, 0, 0], [0, 0, -1.0], [1.0, 0, 0]]
KAPPA = [[1.0, 0, 0], [0.914, 0.279, -0.297], [1.0, 0, 0]]
S0 = np.array([0.0, 0.0, -1.0])


def goniometer(axes, scan_axis=2):
    return Goniometer.multi_axis(axes, [0.0, 10.0, 0.0], ["PHI", "MIDDLE", "OMEGA"], scan_axis)


def crystal(tilt_deg=25.0, group="P 4 2 2"):
    """c is tilted by an angle away from the rotation axis x."""
    standing = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
    U = rotation_matrix(np.array([0.0, 0.6, 0.8]), np.radians(tilt_deg)) @ standing
    return Crystal.from_cell((50, 50, 80, 90, 90, 90), U, group)


def experiment(axes=CHI, **changes):
    models = {"goniometer": goniometer(axes), "crystal": crystal(), "beam": Beam([0, 0, 1], 1.0), "identifier": "x"}
    return replace(rotation_experiment(5), **(models | changes))


class TestAlign(ProgramContract):
    name = "align_crystal"

    @pytest.fixture
    def inputs(self):
        return ProgramInputs(experiments=Experiments([experiment()]))


ANGLES = st.floats(-180, 180).map(np.radians)


@settings(max_examples=60)
@given(ANGLES, ANGLES, ANGLES, st.sampled_from([CHI, KAPPA, np.eye(3).tolist()]))
def test_rotations_are_products_of_the_three(a1, a2, a3, axes):
    e3, e2, e1 = (np.array(axis) / np.linalg.norm(axis) for axis in axes)
    rotation = rotation_matrix(e1, a1) @ rotation_matrix(e2, a2) @ rotation_matrix(e3, a3)
    found = three_angles(rotation, e1, e2, e3)
    assert 1 <= len(found) <= 2
    for b1, b2, b3 in found:
        again = rotation_matrix(e1, b1) @ rotation_matrix(e2, b2) @ rotation_matrix(e3, b3)
        assert np.allclose(again, rotation, atol=2e-6)


def test_what_is_out_of_reach_has_no_solution():
    e3, e2, e1 = (np.array(axis) / np.linalg.norm(axis) for axis in KAPPA)
    assert three_angles(rotation_matrix(np.array([0.0, 0, 1]), np.pi / 2 * 1.9), e1, e2, e3) == []


@pytest.mark.parametrize("mode", ["main", "cusp"])
@pytest.mark.parametrize(("axes", "direct"), [(CHI, False), (CHI, True), (KAPPA, False)])
def test_vectors_are_aligned_in_each_solution(mode, axes, direct):
    gonio, tetragonal = goniometer(axes), crystal()
    e3, e2, e1 = (np.array(axis) / np.linalg.norm(axis) for axis in axes)
    one, two = laboratory_frame(e1, S0, mode)
    found = solutions(tetragonal, gonio, S0, vector_pairs(["0 0 1", "1 0 0"], direct), mode)
    assert found or axes is KAPPA
    for solution in found:
        a3, a2 = np.radians(solution.angles_deg)
        U = rotation_matrix(e2, a2) @ rotation_matrix(e3, a3)
        c = U @ solution.pairs[0][0].of(tetragonal.A)
        # What is left is omega: c turns about it onto +-one, and then a (or b) lies in the plane.
        assert abs(c @ e1) == pytest.approx(abs(one @ e1), abs=1e-9)
        normal = np.cross(one, two)
        inside = min(
            abs(normal @ rotation_matrix(e1, w) @ U @ tetragonal.A[:, k]) * 50
            for k in (0, 1)
            for w in np.radians(_omegas(c, one, e1, U @ tetragonal.A[:, k], normal))
        )
        assert inside < 1e-6


def _omegas(c, one, e1, a, normal):
    """Degrees of omega that take c to +-one; where c lies on the axis, those that take a across the normal."""
    flat, goal = c - e1 * (c @ e1), one - e1 * (one @ e1)
    if np.linalg.norm(flat) < 1e-6:
        flat, goal = a - e1 * (a @ e1), np.cross(normal, e1)
    angle = np.degrees(np.arctan2(e1 @ np.cross(flat, goal), flat @ goal))
    return [angle, angle + 180.0]


def test_c_is_brought_onto_the_axis_by_its_tilt():
    """With c in the plane of axis and beam the chi axis is across: its angle is that of c to the axis."""
    U = rotation_matrix(np.array([0.0, 0, 1]), np.radians(30.0)) @ np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
    found = solutions(
        Crystal.from_cell((50, 50, 80, 90, 90, 90), U, "P 4"),
        goniometer(CHI),
        S0,
        vector_pairs(["c*", "a*"], False),
        "main",
    )
    assert sorted(round(abs(s.angles_deg[1]), 6) for s in found) == [30.0, 30.0, 150.0, 150.0]
    assert any(np.allclose(s.angles_deg, (0.0, 30.0), atol=1e-6) for s in found)


def test_folds_are_those_of_the_symmetry():
    names = {"a*": 2, "c*": 4, "c": 4, "1 1 0": 2, "1 2 0": 1}
    rotations = laue_group_ops("P 4 2 2", proper=True)
    assert {n: fold(read_vector(n, False), rotations) for n in names} == names
    trigonal = laue_group_ops("P 3 2 1", proper=True)
    assert fold(read_vector("a", True), trigonal) == 2 and fold(read_vector("a*", True), trigonal) == 1


def test_the_command_writes_all_solutions(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_experiments(Experiments([experiment()]), "x.expt")
    assert main(["align_crystal", "x.expt"]) == 0
    text = capsys.readouterr().out
    assert "c* (4-fold)" in text and "MIDDLE (deg)" in text and "Beam" in text
    content = json.loads(Path("align_crystal.json").read_text())
    assert content["goniometer"]["names"] == ["PHI", "MIDDLE", "OMEGA"]
    assert all(abs(s["MIDDLE"]) <= 180 for s in content["solutions"])
    pair = next(s for s in content["solutions"] if "c*" in s["primary_axis"])
    assert pair["primary_axis_type"][pair["primary_axis"].index("c*")] == 4
    kappa = Experiments([experiment(KAPPA, crystal=crystal(120.0))] * 2)
    result = spindle.run("align_crystal", kappa, **{"align.crystal.vector": ["c*", "a*"], "space_group": "P 4"})
    assert result.summary["n_solutions"] >= 0 and len(result.tables) == 6


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"align.crystal.vector": ["a*"]}, "1 vectors are given"),
        ({"align.crystal.vector": ["a*", "x"]}, "write an axis such as"),
        ({"align.crystal.vector": ["a*", "2 0 0"]}, "are parallel"),
        ({"align.crystal.vector": ["0 0 0", "a*"]}, "write an axis such as"),
    ],
)
def test_vectors_that_cannot_be_are_refused(words, message):
    with pytest.raises(ParameterError, match=message):
        spindle.run("align_crystal", Experiments([experiment()]), **words)


def test_goniometers_with_other_numbers_of_axes_are_refused():
    single = Goniometer(rotation_axis=[1.0, 0, 0])
    with pytest.raises(UserError, match="has one axis only"):
        spindle.run("align_crystal", Experiments([experiment(goniometer=single)]))
    two = Goniometer.multi_axis(CHI[:2], [0.0, 0.0], ["PHI", "OMEGA"], 1)
    with pytest.raises(UserError, match="has 2 axes"):
        spindle.run("align_crystal", Experiments([experiment(goniometer=two)]))
    along = experiment(beam=Beam([1, 0, 0], 1.0))
    with pytest.raises(ParameterError, match="lies along the beam"):
        spindle.run("align_crystal", Experiments([along]))
