"""Symmetry and indexing of simulated sets of intensities, each of a crystal indexed by itself."""

from __future__ import annotations

import json
from dataclasses import replace

import gemmi
import numpy as np
import pytest

import spindle
from spindle.errors import UserError
from spindle.models import Crystal, Experiments
from spindle.symmetry import ChangeOfBasis, asu_indices
from spindle.testing import PluginContract
from spindle.testing.data_sets import incomplete_data_sets, rotation_data_sets
from spindle_lib_selection.parts import Parts

HEXAGONAL = (61.0, 61.0, 80.0, 90.0, 90.0, 120.0)
WAYS = ("a,b,c", "b,a,-c", "-a,-b,c", "-b,-a,-c")


class TestCosym(PluginContract):
    slot = "program"
    name = "cosym"


def run(sets, **options):
    return spindle.run("cosym", experiments=sets.experiments, reflections=sets.table, **options)


@pytest.fixture(scope="module")
def trigonal():
    return incomplete_data_sets("P 3", HEXAGONAL, 20, 3, WAYS[1:])


@pytest.fixture(scope="module")
def small():
    return incomplete_data_sets("P 3", HEXAGONAL, 5, 3, WAYS[1:], d_min=6.0)


@pytest.mark.parametrize("cc_weights", ["None", "sigma"])
def test_sets_of_a_polar_group_come_into_one_indexing(trigonal, cc_weights):
    result = run(trigonal, space_group="P 3", cc_weights=cc_weights)
    assert result.summary["space_group"] == "P 3" and result.summary["n_unsure"] == 0
    cc = trigonal.correlations(result.reflections, WAYS)
    assert cc.min() > 0.9, cc.round(2)


def test_the_symmetry_is_found_among_subgroups_of_the_lattice():
    sets = incomplete_data_sets("P 3", HEXAGONAL, 20, 4, WAYS[1:3], triclinic=True)
    result = run(sets)
    assert result.summary["space_group"] == "P 3" and result.summary["probability"] > 0.8
    cc = sets.correlations(result.reflections, WAYS)
    assert cc.min() > 0.9, cc.round(2)


def test_the_order_of_the_sets_does_not_matter(trigonal):
    order = np.random.default_rng(5).permutation(20)
    place = np.argsort(order)
    table = trigonal.table.view()
    table["id"] = place[table["id"]].astype(np.int32)
    table.identifiers = {k: f"set-{i}" for k, i in enumerate(order)}
    first = spindle.run("cosym", trigonal.experiments, trigonal.table, space_group="P 3").reflections
    mixed = Experiments([trigonal.experiments[i] for i in order])
    second = spindle.run("cosym", mixed, table, space_group="P 3").reflections
    assert trigonal.correlations(first, WAYS).min() > 0.9
    assert trigonal.correlations(second, WAYS).min() > 0.9


def test_a_full_symmetry_needs_no_choice():
    cell = (61.0, 61.0, 40.0, 90.0, 90.0, 90.0)
    result = run(incomplete_data_sets("P 4 2 2", cell, 8, 5, ("b,-a,c",), triclinic=True))
    assert result.summary["space_group"] == "P 4 2 2" and result.summary["probability"] > 0.8


def test_a_space_group_that_the_crystals_do_not_have_yet_can_be_given():
    sets = incomplete_data_sets("P 3", HEXAGONAL, 8, 7, WAYS[1:3], triclinic=True)
    result = run(sets, space_group="P 31")
    assert result.summary["space_group"] == "P 31"
    assert all(e.crystal.space_group.xhm() == "P 31" for e in result.experiments)
    assert sets.correlations(result.reflections, WAYS).min() > 0.9


def test_other_cells_and_short_sets_are_left_out(trigonal):
    other = trigonal.experiments[4].crystal
    wrong = Crystal.from_cell((75.0, 75.0, 80.0, 90, 90, 120), other.U, other.space_group)
    near = Crystal.from_cell((61.0, 61.0, 85.0, 90, 90, 120), other.U, other.space_group)
    items = [replace(e, crystal={4: wrong, 5: near}.get(i, e.crystal)) for i, e in enumerate(trigonal.experiments)]
    table = trigonal.table
    rows = np.flatnonzero((table["id"] != 7) | (np.cumsum(table["id"] == 7) < 6))
    result = spindle.run("cosym", Experiments(items), table.select(rows), space_group="P 3")
    assert result.summary["n_data_sets"] == 17 and result.summary["n_left_out"] == 3
    assert len(result.experiments) == 17
    assert set(np.unique(result.reflections["id"])) == set(range(17))
    assert not {"set-4", "set-5", "set-7"} & {e.identifier for e in result.experiments}


def test_the_record_and_the_page_hold_what_was_found(trigonal, tmp_path):
    result = run(trigonal, space_group="P 3")
    for name, write in result.files.items():
        write(tmp_path / name)
    record = json.loads((tmp_path / "spindle.cosym_scores.json").read_text())
    assert len(record["data_sets"]) == 20 and record["space_group"] == "P 3"
    assert np.shape(record["coordinates"]["vectors"])[:2] == (4, 20)
    page = (tmp_path / "spindle.cosym.html").read_text()
    assert "Lead over the next indexing" in page and "Plotly.newPlot" in page


def test_a_single_set_keeps_its_indexing():
    sets = incomplete_data_sets("P 3", HEXAGONAL, 1, 6, share=0.6)
    result = run(sets, space_group="P 3")
    np.testing.assert_array_equal(result.reflections["miller_index"], sets.table["miller_index"])


def test_sets_that_share_nothing_tell_nothing():
    sets = incomplete_data_sets("P 3", HEXAGONAL, 2, 6)
    h, ids = sets.table["miller_index"], sets.table["id"]
    apart = ((ids == 0) & (np.abs(h[:, 2]) > 6)) | ((ids == 1) & (np.abs(h[:, 2]) < 6))
    few = sets.table.select(np.flatnonzero(apart))
    with pytest.raises(UserError, match="share"):
        spindle.run("cosym", sets.experiments, few, space_group="P 3", d_min=None)


def test_what_makes_no_sense_is_refused(trigonal):
    with pytest.raises(UserError, match="no symmetry of this lattice"):
        run(trigonal, space_group="P 4")
    with pytest.raises(UserError, match="min_reflections"):
        run(trigonal, min_reflections=100000)
    with pytest.raises(UserError, match=r"reference=some.mtz: there is no such file"):
        run(trigonal, reference="some.mtz")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.sampled(2)
def test_a_reference_tells_which_of_the_indexings_and_which_space_group(trigonal, tmp_path, way):
    """The reference is indexed in each of the four ways in turn, and its file says P 31."""
    turn = ChangeOfBasis.from_string(way)
    hkl = asu_indices(turn.apply_to_indices(trigonal.hkl)[0], "P 31")[0]
    d = np.asarray(gemmi.UnitCell(*HEXAGONAL).calculate_d_array(trigonal.hkl))
    value = trigonal.intensity * np.exp(-30.0 / (2 * d**2))
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup, mtz.cell = gemmi.SpaceGroup("P 31"), gemmi.UnitCell(*HEXAGONAL)
    mtz.add_dataset("x")
    mtz.add_column("I", "J")
    mtz.set_data(np.column_stack([hkl, value]).astype(np.float32))
    mtz.write_to_file(str(tmp_path / "reference.mtz"))
    result = run(trigonal, reference=str(tmp_path / "reference.mtz"))
    assert result.summary["space_group"] == "P 31"
    lookup = dict(zip(map(tuple, hkl.tolist()), value.tolist(), strict=True))
    seen = asu_indices(result.reflections["miller_index"], "P 31")[0]
    expected = np.array([lookup.get(tuple(h), np.nan) for h in seen.tolist()])
    for i in range(len(result.experiments)):
        rows = (result.reflections["id"] == i) & np.isfinite(expected)
        assert np.corrcoef(result.reflections["intensity.sum.value"][rows], expected[rows])[0, 1] > 0.9


def test_what_is_left_out_moves_the_median():
    """Without the four of the longer cell, the last one is farther from the median than the tolerance."""
    cells = (
        [(60.0, 60.0, 40.0, 90.0, 90.0, 120.0)] * 4
        + [(61.8, 61.8, 44.0, 90.0, 90.0, 120.0)] * 4
        + [(63.5, 63.5, 40.0, 90.0, 90.0, 120.0)]
    )
    sets = rotation_data_sets("P 3", cells, 1, degrees=(8.0, 8.0), image_width=1.0, d_min=5.0)
    result = spindle.run(
        "cosym", sets.experiments, sets.table, space_group="P3", **{"unit_cell_clustering.threshold": None}
    )
    assert result.summary["n_data_sets"] == 4
    with pytest.raises(UserError, match="all 2 data sets differ from their median"):
        spindle.run(
            "cosym", *Parts(sets.experiments, sets.table).take([0, 4]), space_group="P3", relative_length_tolerance=0.01
        )


def coordinates(sets, folders, options=None):
    path = folders.mktemp("cosym") / "numbers.json"
    run(sets, space_group="P 3", **(options or {})).files["spindle.cosym_scores.json"](path)
    return json.loads(path.read_text())["coordinates"]


@pytest.mark.parametrize(
    "options",
    [
        {"d_min": 7.0},
        {"dimensions": 2},
        {"weights": "None"},
        {"weights": "standard_error"},
        {"cc_weights": "sigma"},
        {"max_iterations": 2},
        {"max_calls": 2},
        {"seed": 1},
        {"min_pairs": 300},
        {"normalisation": "kernel"},
        {"min_cc_half": None, "min_i_mean_over_sigma_mean": 9.5},
        {"lattice_group": "P 3 2 1"},
    ],
)
def test_each_parameter_changes_the_coordinates(small, tmp_path_factory, options):
    assert coordinates(small, tmp_path_factory, options) != coordinates(small, tmp_path_factory)


@pytest.mark.parametrize(("best", "symbol"), [(True, "I 1 2 1"), (False, "C 1 2 1")])
def test_the_cell_with_the_best_beta_is_taken(best, symbol):
    sets = incomplete_data_sets("C 1 2 1", (91.0, 53.0, 40.0, 90.0, 116.0, 90.0), 4, 3, d_min=6.0, share=0.5)
    assert run(sets, best_monoclinic_beta=best).summary["space_group"] == symbol


def test_partial_reflections_are_left_out_below_the_threshold(small, tmp_path_factory):
    """Those of even l are recorded to a half, and wrong."""
    table = small.table.view()
    half = table["miller_index"][:, 2] % 2 == 0
    table["partiality"] = np.where(half, 0.5, 1.0)
    value = np.array(table["intensity.sum.value"])
    value[half] = np.random.default_rng(1).permutation(value[half])
    table["intensity.sum.value"] = value
    sets = replace(small, table=table)
    found = [coordinates(sets, tmp_path_factory, {"partiality_threshold": t, "d_min": None}) for t in (0.4, 0.6)]
    length = [np.linalg.norm(c["vectors"], axis=-1).mean() for c in found]
    assert length[1] > 0.9 > 0.8 > length[0]


def tilted(sets, degrees):
    """The cell of the last set has another gamma; the other crystals are triclinic, too."""
    cells = [list(e.crystal.cell) for e in sets.experiments]
    cells[-1][5] += degrees
    items = [
        replace(e, crystal=Crystal.from_cell(c, e.crystal.U, "P 1"))
        for e, c in zip(sets.experiments, cells, strict=True)
    ]
    return replace(sets, experiments=Experiments(items))


@pytest.mark.parametrize(("tolerance", "left"), [(0.3, 4), (2.0, 5)])
def test_cells_whose_angles_are_apart_are_left_out(small, tolerance, left):
    found = run(tilted(small, 0.8), absolute_angle_tolerance=tolerance, **{"unit_cell_clustering.threshold": None})
    assert found.summary["n_data_sets"] == left


@pytest.mark.parametrize(("max_delta", "symbol"), [(5.0, "P 3"), (0.1, "P 1")])
def test_the_lattice_may_deviate_by_max_delta(small, max_delta, symbol):
    items = [
        replace(e, crystal=Crystal.from_cell((61.0, 61.3, 80.0, 90.0, 90.0, 120.0), e.crystal.U, "P 1"))
        for e in small.experiments
    ]
    found = run(replace(small, experiments=Experiments(items)), lattice_symmetry_max_delta=max_delta)
    assert found.summary["space_group"] == symbol


@pytest.mark.parametrize(("threshold", "left"), [(20.0, 4), (None, 5)])
def test_cells_farther_apart_than_the_threshold_are_another_form(small, threshold, left):
    longer = Crystal.from_cell((61.0, 61.0, 81.0, 90.0, 90.0, 120.0), small.experiments[4].crystal.U, "P 3")
    items = [replace(e, crystal=longer) if i == 4 else e for i, e in enumerate(small.experiments)]
    found = run(
        replace(small, experiments=Experiments(items)),
        space_group="P 3",
        **{"unit_cell_clustering.threshold": threshold},
    )
    assert found.summary["n_data_sets"] == left


def test_a_lattice_group_without_the_symmetry_of_the_space_group_is_refused(small):
    with pytest.raises(UserError, match="lattice_group=P 1 2 1 lacks symmetry of space_group=P 3"):
        run(small, space_group="P 3", lattice_group="P 2")
