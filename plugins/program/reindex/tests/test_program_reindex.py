"""Reindexing by given operators, and by operators that orientations, spots and intensities tell."""

from __future__ import annotations

import re
from dataclasses import replace

import gemmi
import numpy as np
import pytest

import spindle
from spindle.contracts import ProgramInputs
from spindle.errors import ParameterError, UserError
from spindle.files import write_experiments, write_reflections
from spindle.models import Crystal, Experiments
from spindle.prediction import add_observed_geometry, predict_for_indexed
from spindle.symmetry import ChangeOfBasis, asu_indices
from spindle.table import Flag, ReflectionTable
from spindle.testing.indexing import random_rotation, rotation_experiment, spots_of
from spindle.testing.program import ProgramContract
from spindle_lib_reindexing import change_experiments

CELL = (51.2, 51.2, 33.3, 90.0, 90.0, 90.0)


@pytest.fixture(scope="module")
def sweep():
    """An indexed sweep of a tetragonal crystal in P 4."""
    experiment = replace(rotation_experiment(CELL, "P 4", 20, seed=4), identifier="sweep")
    table = spots_of([experiment], d_min=4.0, jitter_px=0.05, seed=1)
    table["miller_index"] = table["true_index"]
    table["flags"] = table["flags"] | np.uint64(Flag.INDEXED)
    experiments = Experiments([experiment])
    return experiments, predict_for_indexed(experiments, add_observed_geometry(experiments, table))


def intensities(experiment, seed=0, operator="a,b,c", group="P 4", noise=0.05, d_min=3.0, keep=0.8):
    """Integrated intensities with the symmetry of a group, in another indexing."""
    hkl = gemmi.make_miller_array(gemmi.UnitCell(*CELL), gemmi.SpaceGroup("P 1"), d_min, 30.0)
    hkl = np.concatenate([hkl, -hkl]).astype(np.int32)
    asu, _ = asu_indices(hkl, group)
    _, number = np.unique(asu, axis=0, return_inverse=True)
    true = np.random.default_rng(7).exponential(1000.0, number.max() + 1)[number.ravel()]
    rng = np.random.default_rng(seed)
    chosen = rng.random(len(hkl)) < keep
    hkl, true = hkl[chosen], true[chosen]
    sigma = noise * true + 3.0
    n = len(hkl)
    return ReflectionTable(
        {
            "miller_index": ChangeOfBasis.from_string(operator).apply_to_indices(hkl)[0], "id": np.zeros(n, int),
            "flags": np.full(n, int(Flag.INTEGRATED_SUM)), "intensity.sum.value": true + rng.normal(0, sigma),
            "intensity.sum.variance": sigma**2, "partiality": np.ones(n), "d": np.full(n, 5.0),
        },
        {0: experiment.identifier},
    )  # fmt: skip


def in_P4(table):
    return asu_indices(table["miller_index"], "P 4")[0]


class TestContract(ProgramContract):
    name = "reindex"
    parameters = {"change_of_basis_op": "-b,a,c"}

    @pytest.fixture
    def inputs(self, sweep):
        return ProgramInputs(experiments=sweep[0], reflections=[sweep[1]])


@pytest.mark.parametrize("text", ["a+b,-a+b,c", "h+k,-h+k,l", "1/2*x-1/2*y,1/2*x+1/2*y,z", "b,c,a"])
def test_spots_stay_where_they_are_in_any_notation(sweep, text):
    experiments, table = sweep
    result = spindle.run("reindex", experiments, table, change_of_basis_op=text, space_group="P 1")
    crystal = result.experiments[0].crystal
    np.testing.assert_allclose(
        result.reflections["miller_index"] @ crystal.A.T,
        table["miller_index"] @ experiments[0].crystal.A.T, atol=1e-12,
    )  # fmt: skip
    again = predict_for_indexed(result.experiments, result.reflections)
    np.testing.assert_allclose(again["xyzcal.px"], table["xyzcal.px"], atol=1e-6)


def test_cell_and_group_are_those_of_gemmi(sweep):
    result = spindle.run("reindex", sweep[0], change_of_basis_op="-b,a,c")
    assert result.reflections is None
    crystal = result.experiments[0].crystal
    assert crystal.space_group.xhm() == "P 4"
    op = ChangeOfBasis.from_string("-b,a,c").as_gemmi()
    expected = gemmi.UnitCell(*CELL).changed_basis_forward(op, False).parameters
    np.testing.assert_allclose(crystal.cell, expected, atol=1e-9)


def test_scan_points_and_covariances_are_reindexed():
    experiment = rotation_experiment((31.2, 37.5, 42.1, 81, 77, 68), n_images=4)
    crystal = experiment.crystal
    points = np.stack([crystal.A * (1 + 1e-4 * k) for k in range(5)])
    covariance = np.diag([1e-10, 0, 0, 1e-10, 1e-10, 0, 1e-10, 1e-10, 1e-10])
    extra = {
        "B_covariance": covariance.ravel().tolist(),
        "B_covariance_at_scan_points": [covariance.ravel().tolist()] * 5,
    }
    varying = replace(crystal.with_A(crystal.A, points), extra=extra)
    result = spindle.run("reindex", Experiments([replace(experiment, crystal=varying)]), change_of_basis_op="b,c,a")
    moved = result.experiments[0].crystal
    back = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]])  # (b, c, a)^-1
    np.testing.assert_allclose(moved.A_at_scan_points, points @ back, atol=1e-15)
    assert np.shape(moved.extra["B_covariance_at_scan_points"]) == (5, 81)
    assert np.trace(np.reshape(moved.extra["B_covariance"], (9, 9))) > 0
    assert moved.cell_sd[0] > 0


def test_a_given_space_group_constrains_the_cell_and_stays_known(sweep):
    experiments, table = sweep
    loose = experiments.with_model(
        experiments[0].crystal, Crystal.from_cell((51.2, 51.5, 33.3, 90, 90.1, 90), random_rotation(4))
    )
    result = spindle.run("reindex", loose, table, change_of_basis_op="b,c,a", space_group="P 2 2 2")
    crystal = result.experiments[0].crystal
    np.testing.assert_allclose(crystal.cell, (51.5, 33.3, 51.2, 90, 90, 90), atol=1e-3)
    assert crystal.space_group_is_known


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"change_of_basis_op": "a,b,a+b"}, "cannot be inverted"),
        ({"change_of_basis_op": "a,b,-c"}, "left-handed"),
        ({"change_of_basis_op": "a,b"}, "no operator"),
        ({"change_of_basis_op": "a,b,1/2*c"}, "no whole index"),
        ({"change_of_basis_op": "b,c,a"}, "no symbol.*space_group="),
        ({"reference.reflections": "a.refl"}, "reference.experiments too"),
    ],
)
def test_operators_that_cannot_be_are_refused(sweep, changes, words):
    with pytest.raises(UserError, match=words):
        spindle.run("reindex", *sweep, **changes)


@pytest.mark.parametrize(
    ("cell", "old", "new"),
    [((50, 50, 50, 75, 75, 75), "R 3:R", "R 3:H"), ((30, 41, 52, 90, 101, 90), "P 1 21 1", "P 1 1 21")],
)
def test_the_operator_of_another_setting_of_the_group_is_named(cell, old, new, caplog):
    crystal = Crystal.from_cell(cell, space_group=old)
    experiments = Experiments([replace(rotation_experiment(CELL, "P 4", seed=4), crystal=crystal)])
    spindle.run("reindex", experiments, space_group=new)
    operator = re.search("change_of_basis_op=([-+/*0-9abc,]+)", caplog.text).group(1)
    caplog.clear()
    moved = spindle.run("reindex", experiments, change_of_basis_op=operator).experiments[0].crystal
    assert moved.space_group.xhm() == new and "changes the cell" not in caplog.text


def test_indices_that_the_centring_of_the_given_group_forbids_are_told(sweep, caplog):
    experiments, table = sweep
    spindle.run("reindex", experiments, table, space_group="I 4")
    assert re.search(r"indices of experiment 0 are not those of a lattice centred as in I 4", caplog.text)
    caplog.clear()
    spindle.run("reindex", experiments, table, space_group="P 4 2 2")
    assert "centred" not in caplog.text


def test_an_operator_that_changes_nothing_is_said(sweep, caplog):
    with caplog.at_level("INFO"):
        spindle.run("reindex", *sweep)
    assert "Nothing changes" in caplog.text


def test_nothing_to_reindex_is_said():
    with pytest.raises(UserError, match="give experiments, reflections"):
        spindle.run("reindex")
    with pytest.raises(UserError, match="no crystals"):
        spindle.run("reindex", Experiments([replace(rotation_experiment(), crystal=None)]))


def test_the_crystal_of_a_reference_is_followed(sweep, tmp_path):
    experiments, table = sweep
    other = spindle.run("reindex", experiments, table, change_of_basis_op="-b,a,c")
    write_experiments(experiments, tmp_path / "first.expt")
    result = spindle.run(
        "reindex", other.experiments, other.reflections, change_of_basis_op="Auto",
        **{"reference.experiments": tmp_path / "first.expt"},
    )  # fmt: skip
    assert result.summary["change_of_basis_op"] == ["b,-a,c"]
    np.testing.assert_array_equal(result.reflections["miller_index"], table["miller_index"])
    np.testing.assert_allclose(result.experiments[0].crystal.A, experiments[0].crystal.A, atol=1e-12)


def test_spots_get_the_indices_of_their_crystal(sweep):
    experiments, table = sweep
    other = table.view()
    other["miller_index"] = table["miller_index"][:, [2, 0, 1]]
    result = spindle.run("reindex", experiments, other, change_of_basis_op="auto")
    assert result.experiments is None
    np.testing.assert_array_equal(result.reflections["miller_index"], table["miller_index"])
    other["miller_index"] = np.random.default_rng(0).integers(1, 9, (len(other), 3))
    with pytest.raises(UserError, match="no change of basis"):
        spindle.run("reindex", experiments, other, change_of_basis_op="auto")
    with pytest.raises(UserError, match="none of 0 spots has an index"):
        spindle.run("reindex", experiments, table.select(np.zeros(0, int)), change_of_basis_op="auto")


def test_a_reference_is_checked_as_inputs_are(tmp_path):
    experiment = replace(rotation_experiment(CELL, "P 4", seed=4), identifier="r")
    bad = intensities(experiment, 1)
    bad["intensity.sum.value"][3] = np.nan
    write_experiments(Experiments([experiment]), tmp_path / "first.expt")
    write_reflections(bad, tmp_path / "first.refl")
    reference = {"reference.experiments": tmp_path / "first.expt", "reference.reflections": tmp_path / "first.refl"}
    with pytest.raises(UserError, match=r"first\.refl: .*finite"):
        spindle.run("reindex", Experiments([experiment]), intensities(experiment, 2), **reference)


@pytest.mark.parametrize("operator", ["a,b,c", "b,a,-c"])
def test_intensities_tell_the_indexing_of_the_reference(tmp_path, operator):
    experiment = replace(rotation_experiment(CELL, "P 4", seed=4), identifier="r")
    write_experiments(Experiments([experiment]), tmp_path / "first.expt")
    write_reflections(intensities(experiment, 1), tmp_path / "first.refl")
    reference = {"reference.experiments": tmp_path / "first.expt", "reference.reflections": tmp_path / "first.refl"}
    result = spindle.run("reindex", Experiments([experiment]), intensities(experiment, 2, operator), **reference)
    np.testing.assert_array_equal(in_P4(result.reflections), in_P4(intensities(experiment, 2)))
    rows = {row[1]: row[2] for t in result.tables if t.key == "reference_cc" for row in t.rows}
    (found,) = result.summary["change_of_basis_op"]
    assert rows[found] > 0.9
    assert min(rows.values()) < 0.3


@pytest.mark.parametrize(("operator", "group"), [("b,c,a", "P 2 1 1"), ("c,b,-a", "P 1 2 1"), ("c,-a,-b", "P 1 1 2")])
def test_intensities_in_another_setting_are_brought_to_that_of_the_reference(tmp_path, operator, group):
    """Of a lattice with more symmetry than the crystal, which is turned."""
    experiment = replace(rotation_experiment(CELL, "P 1 2 1", seed=4), identifier="r")
    write_experiments(Experiments([experiment]), tmp_path / "first.expt")
    write_reflections(intensities(experiment, 1, group="P 1 2 1"), tmp_path / "first.refl")
    reference = {"reference.experiments": tmp_path / "first.expt", "reference.reflections": tmp_path / "first.refl"}
    turned = replace(rotation_experiment(CELL, "P 1 2 1", seed=5), identifier="s")
    other = change_experiments(Experiments([turned]), [ChangeOfBasis.from_string(operator)])
    assert other[0].crystal.space_group.xhm() == group
    result = spindle.run("reindex", other, intensities(turned, 2, operator, "P 1 2 1"), **reference)
    assert result.experiments[0].crystal.space_group.xhm() == "P 1 2 1"
    expected = asu_indices(intensities(turned, 2, group="P 1 2 1")["miller_index"], "P 1 2 1")[0]
    np.testing.assert_array_equal(asu_indices(result.reflections["miller_index"], "P 1 2 1")[0], expected)


def test_each_of_several_crystals_follows_the_reference(tmp_path):
    one = replace(rotation_experiment(CELL, "P 4", seed=4), identifier="r")
    other = replace(rotation_experiment(CELL, "P 4", seed=5), identifier="s")
    write_experiments(Experiments([one]), tmp_path / "first.expt")
    write_reflections(intensities(one, 1), tmp_path / "first.refl")
    reference = {"reference.experiments": tmp_path / "first.expt", "reference.reflections": tmp_path / "first.refl"}
    tables = [intensities(one, 2), intensities(other, 3, "b,a,-c")]
    tables[1]["id"] = np.ones(len(tables[1]), int)
    tables[1].identifiers = {1: "s"}
    result = spindle.run("reindex", Experiments([one, other]), ReflectionTable.concatenate(tables), **reference)
    second = result.reflections.of_experiment(1)
    np.testing.assert_array_equal(in_P4(second), in_P4(intensities(other, 3)))
    assert len(result.summary["change_of_basis_op"]) == 2


def test_a_lattice_without_further_symmetry_has_nothing_to_choose(tmp_path):
    experiment = replace(rotation_experiment(CELL, "P 4 2 2", seed=4), identifier="r")
    write_experiments(Experiments([experiment]), tmp_path / "first.expt")
    write_reflections(intensities(experiment, 1), tmp_path / "first.refl")
    reference = {"reference.experiments": tmp_path / "first.expt", "reference.reflections": tmp_path / "first.refl"}
    result = spindle.run("reindex", Experiments([experiment]), intensities(experiment, 2), **reference)
    assert result.summary["change_of_basis_op"] == ["a,b,c"]
    with pytest.raises(ParameterError, match="give one of the two"):
        spindle.run("reindex", Experiments([experiment]), change_of_basis_op="b,a,-c", **reference)
    wrong = Experiments([replace(experiment, crystal=experiment.crystal.with_space_group("P 4"))])
    with pytest.raises(UserError, match="space group is P 4"):
        spindle.run("reindex", wrong, intensities(experiment, 2), **reference)


@pytest.mark.parametrize("kind", ["IMEAN", "F", "unmerged", "cif"])
def test_intensities_of_another_programs_file_tell_the_indexing(tmp_path, kind):
    experiment = replace(rotation_experiment(CELL, "P 4", 20, seed=4), identifier="sweep")
    table = intensities(experiment, 1)
    hkl, value, sigma = table["miller_index"], table["intensity.sum.value"], np.sqrt(table["intensity.sum.variance"])
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup, mtz.cell = gemmi.SpaceGroup("P 4"), gemmi.UnitCell(*CELL)
    mtz.add_dataset("x")
    if kind == "unmerged":
        mtz.add_column("M/ISYM", "Y")
        mtz.add_column("BATCH", "B")
    if kind == "F":
        value = np.sqrt(np.maximum(value, 1.0))
        sigma = sigma / value
    for label, type_ in (("F", "F"), ("SIGF", "Q")) if kind == "F" else (("IMEAN", "J"), ("SIGIMEAN", "Q")):
        mtz.add_column(label, type_)
    if kind == "unmerged":
        mtz.set_data(np.column_stack([hkl, np.zeros(len(hkl)), np.ones(len(hkl)), value, sigma]).astype(np.float32))
        mtz.switch_to_asu_hkl()
    else:
        _, rows = np.unique(in_P4(table), axis=0, return_index=True)
        mtz.set_data(np.column_stack([in_P4(table), value, sigma])[rows].astype(np.float32))
    path = tmp_path / f"reference.{'cif' if kind == 'cif' else 'mtz'}"
    if kind == "cif":
        path.write_text(gemmi.MtzToCif().write_cif_to_string(mtz))
    else:
        mtz.write_to_file(str(path))
    result = spindle.run(
        "reindex", Experiments([experiment]), intensities(experiment, 2, "b,a,-c"), **{"reference.file": path}
    )
    assert result.summary["change_of_basis_op"] != ["a,b,c"]
    rows = {row[1]: row[2] for t in result.tables if t.key == "reference_cc" for row in t.rows}
    assert max(rows.values()) > 0.9 > 0.5 > min(rows.values())
    np.testing.assert_array_equal(
        np.sort(in_P4(result.reflections), axis=0), np.sort(in_P4(intensities(experiment, 2)), axis=0)
    )


def test_a_reference_file_that_tells_nothing_is_refused(sweep, tmp_path):
    path = tmp_path / "nothing.mtz"
    path.write_bytes(b"MTZ no")
    with pytest.raises(UserError, match=r"nothing.mtz: its header is said to begin at byte \d+, the file has 6"):
        spindle.run("reindex", *sweep, **{"reference.file": path})
    with pytest.raises(ParameterError, match="stands for"):
        spindle.run("reindex", *sweep, **{"reference.file": path, "reference.experiments": "a.expt"})
