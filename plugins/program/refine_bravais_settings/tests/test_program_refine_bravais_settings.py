"""Settings of simulated crystals, indexed without symmetry: the true lattice is recommended, false ones are not."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from spindle_program_refine_bravais_settings.judgement import is_plausible
from spindle_program_refine_bravais_settings.settings import settings_of

import spindle
from spindle.contracts import ProgramInputs
from spindle.errors import ParameterError, UserError
from spindle.files import read_experiments
from spindle.models import Crystal, Experiments
from spindle.symmetry import ChangeOfBasis, asu_indices, change_crystal_basis, niggli_reduce, primitive_operator
from spindle.table import Flag, ReflectionTable
from spindle.testing.indexing import random_rotation, rotation_experiment, spots_of
from spindle.testing.program import ProgramContract

TETRAGONAL = (45.0, 45.0, 61.0, 90.0, 90.0, 90.0)


def indexed(cell=TETRAGONAL, group="P 4", n_images=30, seed=2, d_min=5.0, distortion=1e-3, intensities=None, name="s"):
    """A sweep as `index` gives it: reduced basis, P 1, a cell that is not quite symmetric; with spots and intensities."""
    truth = replace(rotation_experiment(cell, group, n_images, seed=seed), identifier=name)
    table = spots_of([truth], d_min=d_min, keep=0.8, jitter_px=0.1, seed=seed)
    primitive = primitive_operator(group)
    operator = ChangeOfBasis(niggli_reduce(primitive.matrix @ truth.crystal.real_space)[1]) @ primitive
    table["miller_index"], whole = operator.apply_to_indices(table["true_index"])
    table = table.select(whole)
    rng = np.random.default_rng(seed)
    asu, _ = asu_indices(table["true_index"], intensities or group)
    unique, number = np.unique(asu, axis=0, return_inverse=True)
    value = np.random.default_rng(5).exponential(1000.0, len(unique))[number.ravel()] + 50.0
    table["intensity.sum.value"] = value * rng.normal(1.0, 0.05, len(value))
    table["intensity.sum.variance"] = value
    table["flags"] = table["flags"] | np.uint64(Flag.INDEXED)
    table.identifiers = {0: name}
    crystal = change_crystal_basis(truth.crystal, operator, "P 1")
    crystal = crystal.with_A(crystal.A * (1 + rng.normal(0, distortion, (3, 3))))
    return Experiments([replace(truth, crystal=crystal)]), table.without("true_index", "true_lattice")


@pytest.fixture(scope="module")
def sweep():
    return indexed()


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(inputs, **parameters):
    """The solutions by number, and the result."""
    result = spindle.run("refine_bravais_settings", *inputs, **parameters)
    return result


class TestContract(ProgramContract):
    name = "refine_bravais_settings"
    parameters = {"lepage_max_delta": 2.0}

    @pytest.fixture
    def inputs(self, sweep):
        return ProgramInputs(experiments=sweep[0], reflections=[sweep[1]])


@pytest.fixture(scope="module")
def tetragonal(sweep, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tetragonal")
    result = run(sweep, **{"output.directory": folder})
    for path, write in result.files.items():
        write(path if hasattr(path, "parent") else folder / str(path))
    return result, folder


def test_the_true_lattice_is_recommended_with_its_cell(tetragonal):
    result, _ = tetragonal
    assert result.summary["lattice"] == "tP"
    np.testing.assert_allclose(result.summary["unit_cell"], TETRAGONAL, rtol=1e-3)
    assert result.next_step.startswith("spindle refine ")
    assert f"bravais_setting_{result.summary['best']}.expt" in result.next_step


def test_the_summary_has_the_field_s_keys(tetragonal):
    result, folder = tetragonal
    summary = json.loads((folder / "bravais_summary.json").read_text())
    assert list(summary) == [str(n) for n in range(result.summary["n_solutions"], 0, -1)]
    entry = summary[str(result.summary["best"])]
    assert set(entry) == {
        "max_angular_difference", "rmsd", "nspots", "bravais", "unit_cell", "cb_op", "max_cc", "min_cc",
        "correlation_coefficients", "cc_nrefs", "recommended",
    }  # fmt: skip
    assert entry["recommended"] and entry["bravais"] == "tP"
    assert len(entry["correlation_coefficients"]) == 4  # P 4
    assert entry["min_cc"] > 0.9
    assert summary["1"]["min_cc"] is None
    assert summary["1"]["rmsd"] == pytest.approx(np.hypot(0.1, 0.1) * 0.2, rel=0.1)  # the jitter, in mm
    assert entry["rmsd"] < 1.1 * summary["1"]["rmsd"]


def test_each_setting_is_a_file_of_constrained_models(tetragonal):
    result, folder = tetragonal
    summary = json.loads((folder / "bravais_summary.json").read_text())
    for number, entry in summary.items():
        crystal = read_experiments(folder / f"bravais_setting_{number}.expt")[0].crystal
        np.testing.assert_allclose(crystal.cell, entry["unit_cell"], atol=1e-6)
        if entry["bravais"] == "tP":
            assert crystal.space_group.xhm() == "P 4"
            assert crystal.cell[0] == pytest.approx(crystal.cell[1], abs=1e-9)
    (table,) = (t for t in result.tables if t.key == "bravais_settings")
    assert [row[0].split()[-1] for row in table.rows] == list(summary)


def test_a_lattice_that_is_nearly_more_symmetric_is_told_from_it(here):
    result = run(indexed((45.0, 45.6, 61.0, 90, 90, 90), "P 2 2 2"))
    assert result.summary["lattice"] == "oP"
    lattices = [row[5] for t in result.tables if t.key == "bravais_settings" for row in t.rows]
    assert "tP" in lattices


def test_intensities_speak_against_a_symmetry_that_only_the_cell_has(here):
    result = run(indexed(intensities="P 2 2 2", distortion=1e-4), cc_n_bins=3)
    (table,) = (t for t in result.tables if t.key == "bravais_settings")
    cc = {row[5]: float(row[3].split("/")[0]) for row in table.rows if row[5] in ("tP", "oP")}
    assert cc["tP"] < 0.6 < 0.8 < cc["oP"]


def test_centred_lattices_are_found_from_their_primitive_cell(here):
    result = run(indexed((58.0, 58.0, 41.0, 90, 90, 90), "I 4"), lepage_max_delta=1.0)
    assert result.summary["lattice"] == "tI"
    np.testing.assert_allclose(result.summary["unit_cell"], (58, 58, 41, 90, 90, 90), rtol=1e-3)


def test_sweeps_of_one_crystal_are_refined_together(here, sweep):
    experiments, table = sweep
    second = indexed(seed=2, name="t")
    shared = Experiments([experiments[0], replace(second[0][0], crystal=experiments[0].crystal)])
    other = second[1]
    other["id"] = np.ones(len(other), int)
    other.identifiers = {1: "t"}
    result = run((shared, [table, other]), lepage_max_delta=1.0)
    assert result.summary["lattice"] == "tP"
    best = read_after(result, result.summary["best"], here)
    assert best[0].crystal is best[1].crystal


def read_after(result, number, folder):
    """The experiments of a solution, written and read."""
    name = next(p for p in result.files if str(p).endswith(f"bravais_setting_{number}.expt"))
    result.files[name](folder / "x.expt")
    return read_experiments(folder / "x.expt")


def test_one_of_several_crystals_can_be_chosen(here, sweep):
    experiments, table = sweep
    turned = Crystal.from_cell((33.0, 45.0, 61.0, 80.0, 95.0, 100.0), random_rotation(8))
    both = Experiments([replace(experiments[0], crystal=turned, identifier="other"), experiments[0]])
    own = table.view()
    own["id"] = np.ones(len(own), int)
    own.identifiers = {0: "other", 1: "s"}
    with pytest.raises(UserError, match=r"crystal_id="):
        run((both, own))
    result = run((both, own), crystal_id=1, lepage_max_delta=1.0)
    assert result.summary["lattice"] == "tP"
    assert len(read_after(result, 1, here)) == 1
    with pytest.raises(ParameterError, match="crystals 0 to 1"):
        run((both, own), crystal_id=2)
    with pytest.raises(UserError, match="0 indexed reflections are too few"):
        run((both, own), crystal_id=0)


def test_what_is_missing_is_said(sweep):
    experiments, table = sweep
    with pytest.raises(UserError, match="give experiments and reflections"):
        run((experiments, []))
    with pytest.raises(UserError, match="no crystal"):
        run((Experiments([replace(experiments[0], crystal=None)]), table))
    with pytest.raises(UserError, match="too few"):
        run((experiments, table.select(np.arange(3))))


def test_a_setting_that_cannot_be_refined_is_told_and_not_recommended(here, sweep):
    experiments, table = sweep
    result = run((experiments, table.select(np.arange(30))), min_nref_per_parameter=100)
    assert result.summary["recommended"] == []
    assert "could be refined" in result.summary["problem"]


def test_operators_are_the_simplest_of_their_symmetry(sweep):
    settings = settings_of(sweep[0], 1.0, True)
    assert settings[0].bravais == "aP" and settings[0].operator.is_identity()
    assert settings[-1].bravais == "tP"
    assert settings[-1].operator.as_abc() == "a,b,c"


@pytest.mark.parametrize(
    ("fit", "cc", "ratio", "expected"),
    [
        (0.1, 0.9, 2.9, True), (0.1, 0.9, 3.1, False), (0.1, 0.4, 1.4, True), (0.1, 0.4, 1.6, False),
        (0.1, None, 1.6, False), (0.9, 0.6, 1.4, True), (0.9, 0.6, 1.6, False), (0.9, 0.8, 2.1, True),
        (0.1, 0.2, 1.3, False), (0.1, 0.2, 1.1, True),
        (0.0, 0.9, float("nan"), False),
    ],
)  # fmt: skip
def test_positions_and_intensities_are_weighed(fit, cc, ratio, expected):
    assert is_plausible(fit, cc, ratio * 0.05, 0.05) is expected


def test_rows_without_index_or_experiment_do_not_matter(here, sweep):
    experiments, table = sweep
    stray = table.select(np.arange(20))
    stray["miller_index"] = np.zeros((20, 3), int)
    stray["id"] = np.full(20, -1)
    joined = ReflectionTable.concatenate([stray, table])
    one, two = (run((experiments, t), lepage_max_delta=1.0) for t in (table, joined))
    assert one.summary == two.summary
