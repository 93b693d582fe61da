"""Many crystals whose truth is known: the right choice of indexing, the groups of cells, intensities with honest errors."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import gemmi
import numpy as np
import pytest
from spindle_program_multiplex.clusters import Group, chosen_groups

import spindle
from spindle.errors import ParameterError, UserError
from spindle.files import read_experiments, read_reflections
from spindle.models import Experiments
from spindle.symmetry import asu_indices
from spindle.table import Flag
from spindle.testing import PluginContract
from spindle.testing.data_sets import rotation_data_sets
from spindle_lib_selection.parts import Parts

CELL = (45.0, 45.0, 36.0, 90.0, 90.0, 120.0)
LONGER = (45.0, 45.0, 41.0, 90.0, 90.0, 120.0)
OTHER = 3, 7  # of the longer cell


class TestMultiplex(PluginContract):
    slot = "program"
    name = "multiplex"


@pytest.fixture(scope="module")
def sets():
    cells = [LONGER if i in OTHER else CELL for i in range(12)]
    return rotation_data_sets(
        "P 3", cells, 5, ways=("b,a,-c",), degrees=(12.0, 20.0), d_min=3.5, image_width=1.0, spread=0.001
    )


@pytest.fixture(scope="module")
def done(sets, tmp_path_factory):
    folder = tmp_path_factory.mktemp("multiplex")
    options = {"unit_cell_clustering.threshold": 100.0, "output.cleanup": False, "output_clusters": True, "min_cluster_size": 4,
               "max_output_clusters": 1, "output.cluster_html": True, "composition": "C6H12O6"}  # fmt: skip
    result = spindle.run("multiplex", sets.experiments, sets.table, **options)
    for name, write in result.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path)
    return SimpleNamespace(result=result, folder=folder, record=json.loads((folder / "multiplex.json").read_text()))


def expected(sets, mtz):
    """True intensities of a merged file, in the better of the two indexings, NaN where not known."""
    hkl = np.array(mtz.make_miller_array(), dtype=np.int32)
    found = np.array(mtz.column_with_label("IMEAN"))
    d = np.asarray(mtz.cell.calculate_d_array(hkl))
    true = {tuple(h): v for h, v in zip(sets.hkl.tolist(), sets.intensity, strict=True)}
    values = []
    for way in (np.eye(3, dtype=int), np.array([[0, 1, 0], [1, 0, 0], [0, 0, -1]])):
        asu = asu_indices((hkl @ way).astype(np.int32), sets.group)[0]
        values.append(np.array([true[tuple(h)] for h in asu.tolist()]) * np.exp(-15.0 / d**2))
    return max(values, key=lambda v: np.corrcoef(v, found)[0, 1])


def test_the_cell_groups_are_found_and_the_largest_is_used(done):
    groups = done.record["unit_cell_groups"]["groups"]
    assert sorted(map(sorted, groups), key=len) == [list(OTHER), [i for i in range(12) if i not in OTHER]]
    used = [d["data_set"] for d in done.record["data_sets"] if d["used"] == "yes"]
    assert used == [i for i in range(12) if i not in OTHER]
    assert all("its cell is of group 2" in done.record["data_sets"][i]["note"] for i in OTHER)


def test_scans_of_a_degree_or_more_have_scales_that_vary(done):
    scaled = read_experiments(done.folder / "DataFiles" / "scaled.expt")
    assert {e.scaling_model["__id__"] for e in scaled} == {"physical"}


def test_every_set_has_the_right_indexing(sets, done):
    operators = {sets.chosen[d["data_set"]]: set() for d in done.record["data_sets"] if d["used"] == "yes"}
    for d in done.record["data_sets"]:
        if d["used"] == "yes":
            operators[sets.chosen[d["data_set"]]].add(d["change_of_basis"])
    assert sorted(operators) == [0, 1] and all(len(o) == 1 for o in operators.values())
    assert operators[0] != operators[1]
    assert done.record["datasets"]["All data"]["space_group"] == "P 3"


def test_merged_intensities_are_the_true_ones_within_their_errors(sets, done):
    mtz = gemmi.read_mtz_file(str(done.folder / "DataFiles/scaled.mtz"))
    true = expected(sets, mtz)
    value, sigma = (np.array(mtz.column_with_label(name)) for name in ("IMEAN", "SIGIMEAN"))
    x = np.asarray(mtz.cell.calculate_1_d2_array(np.array(mtz.make_miller_array(), dtype=np.int32)))
    p = np.array([np.log((value * true).sum() / (true**2).sum()), 0.0])  # absolute scale and B cannot be known
    for _ in range(20):
        model = np.exp(p[0] + p[1] * x) * true
        p += np.linalg.lstsq(np.column_stack([model, model * x]) / sigma[:, None], (value - model) / sigma, rcond=None)[
            0
        ]
    z = (value - np.exp(p[0] + p[1] * x) * true) / sigma
    # 1000 reflections know their rms to 0.022; scales of narrow sets are uncertain besides
    assert 0.93 < np.sqrt(np.mean(z**2)) < 1.09
    assert np.corrcoef(value, true)[0, 1] > 0.999


def test_the_files_are_there_and_share_one_test_set(done):
    names = {str(p.relative_to(done.folder)) for p in done.folder.rglob("*") if p.is_file()}
    stems = (
        "scaled.expt",
        "scaled.refl",
        "scaled.mtz",
        "scaled.mmcif",
        "scaled_unmerged.mtz",
        "scaled_unmerged.mmcif",
        "scaled.hkl",
        "scaled.ins",
    )
    assert {f"DataFiles/{s}" for s in stems} <= names
    assert {"spindle.multiplex.html", "spindle.multiplex_clusters.html", "Processing/models.expt"} <= names
    cluster = next(n for n in names if n.endswith("_scaled.mtz"))
    assert cluster.split("/")[1].startswith("cos_cluster_")
    flags = []
    for name in ("DataFiles/scaled.mtz", cluster):
        mtz = gemmi.read_mtz_file(str(done.folder / name))
        values = np.array(mtz.column_with_label("FreeR_flag"))
        flags.append({tuple(h): v for h, v in zip(np.array(mtz.make_miller_array()).tolist(), values, strict=True)})
    common = set(flags[0]) & set(flags[1])
    assert len(common) > 300 and all(flags[0][h] == flags[1][h] for h in common)
    assert 0.05 < np.mean([v == 0 for v in flags[0].values()]) < 0.15
    experiments = read_experiments(done.folder / "DataFiles/scaled.expt")
    table = read_reflections(done.folder / "DataFiles/scaled.refl")
    assert len(experiments) == 10 and set(np.unique(table["id"])) == set(range(10))
    page = (done.folder / "spindle.multiplex.html").read_text()
    for title in (
        "Unit cells",
        "Symmetry and indexing",
        "Which data sets are alike",
        "Radiation damage",
        "Statistics by shell",
        "cos cluster ",
    ):
        assert title in page


def test_a_second_run_takes_scaled_data(done):
    result = spindle.run(
        "multiplex", read_experiments(done.folder / "Processing/models.expt"), read_reflections(done.folder / "Processing/observations.refl"),
        d_min=4.5, refine=None, **{"symmetry.resolve_indexing_ambiguity": False},
    )  # fmt: skip
    assert result.summary["n_data_sets"] == 10 and result.summary["d_min"] >= 4.5
    assert not any(n.endswith("_cell.cif") for n in result.files)


def some(sets, chosen):
    return Parts(sets.experiments, sets.table).take(chosen)


@pytest.fixture(scope="module")
def few(sets):
    return some(sets, (0, 1, 2, 4, 5))


def test_images_and_sets_are_chosen(few):
    experiments, table = few
    options = {
        "refine": None,
        "space_group": "P3",
        "output.json": None,
        "identifiers": ("set-0,set-1", "set-2", "set-4"),
    }
    result = spindle.run(
        "multiplex", experiments, table, dose=(1, 8), exclude_images_multiple=4, exclude_images=["0:1:2"], **options
    )
    left = _table(result)
    image = np.floor(left["xyzobs.px.value"][:, 2]) + 1
    assert result.summary["n_data_sets"] == 4
    assert image.max() <= 8 and not np.any(np.isin(image, [4, 8])) and image[left["id"] == 0].min() == 3


def _table(result):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        result.files["DataFiles/scaled.refl"](Path(folder) / "x.refl")
        return read_reflections(Path(folder) / "x.refl")


def test_sets_without_strong_or_fitted_reflections_are_left_out(few):
    experiments, table = few
    table = table.view()
    flags = np.array(table["flags"])
    flags[table["id"] == 1] &= ~np.uint64(Flag.USED_IN_REFINEMENT)
    flags[table["id"] == 3] &= ~np.uint64(Flag.INTEGRATED_PRF)
    table["flags"] = flags
    result = spindle.run("multiplex", experiments, table, space_group="P3", refine=None, **{"output.html": None})
    assert result.summary["n_data_sets"] == 3 and result.summary["n_left_out"] == 2
    notes = {row[1]: row[4] for t in result.tables if t.key == "data_sets" for row in t.rows}
    assert "no strong ones" in notes["set-1"] and "profile-fitted" in notes["set-4"]
    whole = spindle.run(
        "multiplex",
        experiments,
        table,
        space_group="P3",
        refine=None,
        remove_profile_fitting_failures=False,
        **{"output.html": None},
    )
    assert whole.summary["n_data_sets"] == 4


def test_what_harms_is_filtered(sets):
    experiments, table = some(sets, (0, 1, 2, 4, 5, 6, 8, 9))
    table = table.view()
    rng = np.random.default_rng(0)
    bad = np.flatnonzero(table["id"] == 5)
    for kind in ("sum", "prf"):
        value = np.array(table[f"intensity.{kind}.value"])
        value[bad] *= rng.uniform(0.5, 1.5, len(bad))
        table[f"intensity.{kind}.value"] = value
    options = {"filtering.method": "deltacchalf", "stdcutoff": 1.5, "max_percent_removed": 30, "filtering.deltacchalf.max_cycles": 1,
               "space_group": "P3", "refine": None, "output.json": "multiplex.json"}  # fmt: skip
    result = spindle.run("multiplex", experiments, table, **options)
    rows = {row[0]: row for t in result.tables if t.key == "merged_data" for row in t.rows}
    assert rows["All data"][1] == 8 and rows["Filtered"][1] == 7
    assert rows["Filtered"][7] < rows["All data"][7]
    assert "DataFiles/filtered.mtz" in result.files


def test_decay_is_cut_where_damage_was_put_in():
    damaged = rotation_data_sets(
        "P 3", [CELL] * 8, 3, degrees=(20.0, 20.0), image_width=0.5, d_min=3.5, damage=1.0, damage_from=20
    )
    result = spindle.run("multiplex", damaged.experiments, damaged.table, space_group="P3", refine=None)
    last = int(result.next_step.rsplit("dose=1,", 1)[1])
    assert 15 <= last <= 25  # scaling spreads what it cannot model over the images before, too
    again = spindle.run("multiplex", damaged.experiments, damaged.table, space_group="P3", refine=None, dose=(1, last))
    assert "dose=" not in again.next_step


def test_one_set_left_is_still_scaled(sets):
    experiments, table = some(sets, (0, 3))
    result = spindle.run(
        "multiplex", experiments, table, refine=None, space_group="P3",
        **{"unit_cell_clustering.threshold": 100.0, "output_clusters": True, "filtering.method": "deltacchalf"},
    )  # fmt: skip
    assert result.summary["n_data_sets"] == 1 and "DataFiles/scaled.mtz" in result.files


def with_group(experiments, symbol, at):
    return Experiments(
        [
            replace(e, crystal=e.known_crystal.with_space_group(symbol)) if i == at else e
            for i, e in enumerate(experiments)
        ]
    )


def test_what_cannot_be_done_is_refused(few):
    experiments, table = few
    one, its = Parts(experiments, table).take([0])
    with pytest.raises(UserError, match="there is one data set"):
        spindle.run("multiplex", one, its)
    with pytest.raises(UserError, match="give the experiments and reflections"):
        spindle.run("multiplex")
    strong = table.view()
    strong["flags"] = np.full(len(table), int(Flag.STRONG), dtype=np.uint64)
    with pytest.raises(UserError, match=r"none of the \d+ reflections is integrated"):
        spindle.run("multiplex", experiments, strong)
    with pytest.raises(UserError, match="different space groups, P 1, P 3"):
        spindle.run("multiplex", with_group(experiments, "P 1", 2), table, resolve_indexing_ambiguity=False)
    with pytest.raises(UserError, match="experiments 0 and 3 have the same identifier"):
        spindle.run("multiplex", Experiments([*experiments[:3], experiments[0], experiments[4]]), table)
    with pytest.raises(UserError, match="experiment 2 is a still"):
        spindle.run(
            "multiplex", Experiments(replace(e, scan=None) if i == 2 else e for i, e in enumerate(experiments)), table
        )
    with pytest.raises(UserError, match="no data set is left: its images, 1 to"):
        spindle.run("multiplex", experiments, table, dose=(1000, 2000))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"laue_group": "P -3", "symmetry.space_group": "P 3"}, "give one of them"),
        ({"identifiers": ("nobody",)}, "there is no nobody"),
        ({"dose": (9, 2)}, "comes before the first"),
        ({"reference": "nowhere.mtz"}, "no such file"),
        ({"reference": "nowhere.mtz", "symmetry.laue_group": "P -3"}, "tells the group; give one of them"),
        ({"resolution.reference": "nowhere.mtz"}, "no such file; give an MTZ file of merged data"),
        ({"resolution.cc_ref": 0.2}, "needs resolution.reference="),
        (
            {"clustering.hierarchical.method": ("cos_angle", "correlation"), "max_cluster_height": 0.1},
            "mean different things",
        ),
        ({"scaling.model": "KB", "scaling.secondary.lmax": 4, "refine": None, "space_group": "P3"}, "model=KB has no"),
        ({"symmetry.cosym.nproc": 3}, "use mp.nproc"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(few, options, message):
    with pytest.raises(ParameterError, match=message):
        spindle.run("multiplex", *few, **options)


def test_sets_in_other_settings_are_brought_together(few):
    experiments, table = few
    result = spindle.run(
        "multiplex", with_group(experiments, "P 1", 2), table, refine=None, **{"symmetry.laue_group": "P -3"}
    )
    assert result.summary["n_data_sets"] == 5 and result.summary["space_group"] == "P 3"


@pytest.mark.parametrize("turn", [np.eye(3), np.array([[0, 1, 0], [1, 0, 0], [0, 0, -1]])])
def test_a_reference_tells_the_indexing(sets, few, tmp_path, turn):
    """The true intensities, in each of the two indexings in turn."""
    d = np.asarray(gemmi.UnitCell(*CELL).calculate_d_array(sets.hkl))
    inside, value = d > 3.6, sets.intensity * np.exp(-15.0 / d**2)
    hkl = asu_indices((sets.hkl @ turn).astype(np.int32), sets.group)[0][inside]
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup, mtz.cell = gemmi.SpaceGroup("P 3"), gemmi.UnitCell(*CELL)
    mtz.add_dataset("x")
    mtz.add_column("I", "J")
    mtz.set_data(np.column_stack([hkl, value[inside]]).astype(np.float32))
    mtz.write_to_file(str(tmp_path / "reference.mtz"))
    result = spindle.run("multiplex", *few, refine=None, reference=tmp_path / "reference.mtz", **{"output.html": None})
    result.files["DataFiles/scaled.mtz"](tmp_path / "x.mtz")
    found = gemmi.read_mtz_file(str(tmp_path / "x.mtz"))
    known = {tuple(h): v for h, v in zip(hkl.tolist(), value[inside], strict=True)}
    indices, values = np.array(found.make_miller_array()).tolist(), np.array(found.column_with_label("IMEAN"))
    pairs = [(v, known[tuple(h)]) for h, v in zip(indices, values, strict=True) if tuple(h) in known]
    assert len(pairs) > 300 and np.corrcoef(np.array(pairs).T)[0, 1] > 0.98
    assert result.summary["space_group"] == "P 3"


def group(kind, number, members, height=0.1, completeness=1.0, multiplicity=5.0):
    return Group(kind, number, frozenset(members), height, completeness, multiplicity)


def options(**changes):
    tree = {"method": ("cos_angle",), "max_cluster_height": 100.0, "max_cluster_height_cc": 100.0, "max_cluster_height_cos": 100.0,
            "distinct_clusters": False}  # fmt: skip
    own = {
        "method": ("hierarchical",),
        "min_cluster_size": 2,
        "min_completeness": 0.0,
        "min_multiplicity": 0.0,
        "max_output_clusters": 10,
    }
    tree |= {k: v for k, v in changes.items() if k in tree and k != "method"}
    own |= {k: v for k, v in changes.items() if k in own}
    return SimpleNamespace(**own, hierarchical=SimpleNamespace(**tree))


TREES = {
    "cos": [
        group("cos", 1, "ab", 0.01),
        group("cos", 2, "cd", 0.02),
        group("cos", 3, "abcd", 0.3, 0.9),
        group("cos", 4, "abcde", 0.9),
    ],
    "cc": [group("cc", 1, "ab")],
    "coordinate": [group("coordinate", 0, "abc", 0.0, float("nan"), float("nan"))],
}


def test_groups_are_chosen_from_the_top():
    names = [g.name for g in chosen_groups(TREES, 5, options())[0]]
    assert names == ["cos_cluster_3", "cos_cluster_2", "cos_cluster_1"]  # not the one of all sets
    assert [g.number for g in chosen_groups(TREES, 5, options(max_output_clusters=1))[0]] == [3]
    assert [g.number for g in chosen_groups(TREES, 5, options(max_cluster_height_cos=0.1))[0]] == [2, 1]
    assert [g.number for g in chosen_groups(TREES, 5, options(max_cluster_height=0.015))[0]] == [1]
    assert [g.number for g in chosen_groups(TREES, 5, options(min_completeness=0.95))[0]] == [2, 1]
    assert [g.number for g in chosen_groups(TREES, 5, options(min_cluster_size=3))[0]] == [3]
    both = chosen_groups(TREES, 5, options(method=("hierarchical", "coordinate"), min_cluster_size=3))[0]
    assert [g.name for g in both] == ["cos_cluster_3", "coordinate_cluster_0"]


def test_distinct_groups_are_branches_that_join_later():
    chosen, pairs = chosen_groups(TREES, 5, options(distinct_clusters=True))
    assert [(a.number, b.number) for a, b in pairs] == [(2, 1)]
    assert [g.number for g in chosen] == [2, 1]
    assert chosen_groups(TREES, 5, options(distinct_clusters=True, max_cluster_height=0.015)) == ([], [])
