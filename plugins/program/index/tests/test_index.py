"""The index program on simulated sweeps with known truth."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from spindle_program_index.beam_shift import shifted
from spindle_program_index.candidates import by_lattice
from spindle_program_index.orientation import misorientation_deg

import spindle
from spindle.contracts.indexing import IndexingError
from spindle.errors import ParameterError, PluginError
from spindle.execution import run
from spindle.models import Crystal, Experiments
from spindle.symmetry import niggli_cell
from spindle.table import Flag, ReflectionTable
from spindle.testing.indexing import random_rotation, rotation_experiment, spots_of, without_crystals

TRICLINIC = (31.2, 37.5, 44.1, 81.0, 77.0, 68.0)
TETRAGONAL = (57.8, 57.8, 75.1, 90.0, 90.0, 90.0)


def index(truth, spots, **params):
    params = {"max_refine": 8, **params}
    return run("index", without_crystals(truth), spots, **params)


@pytest.fixture(scope="module")
def triclinic():
    truth = [rotation_experiment(TRICLINIC, seed=3)]
    spots = spots_of(truth, seed=1)
    return truth, spots, index(truth, spots)


def test_recovers_cell_orientation_and_indices(triclinic):
    truth, _, result = triclinic
    crystal = result.experiments[0].crystal
    np.testing.assert_allclose(crystal.cell, niggli_cell(TRICLINIC), rtol=1e-3)
    assert misorientation_deg(truth[0].crystal.real_space, crystal.real_space) < 0.02
    assert result.summary["fraction_indexed"] > 0.99
    # the found indices differ from the true ones by one change of basis
    change = np.rint(crystal.real_space @ truth[0].crystal.A)
    indexed = result.reflections["id"] == 0
    np.testing.assert_array_equal(
        result.reflections["miller_index"][indexed], result.reflections["true_index"][indexed] @ change.T
    )


def test_models_are_refined_to_the_noise(triclinic):
    _, _, result = triclinic
    assert result.summary["rmsd_x"] == pytest.approx(0.2, rel=0.1)
    assert result.summary["rmsd_z"] == pytest.approx(0.06, rel=0.3)


def test_output_columns_are_those_of_the_field(triclinic):
    truth, spots, result = triclinic
    table = result.reflections
    assert len(table) == len(spots)
    for name in ("rlp", "s1", "entering", "xyzcal.px", "xyzcal.mm", "xyzobs.mm.value", "xyzobs.mm.variance"):
        assert name in table
    indexed = table["id"] >= 0
    np.testing.assert_array_equal(table.has_flags(Flag.INDEXED), indexed)
    np.testing.assert_array_equal(np.any(table["miller_index"] != 0, axis=1), indexed)
    np.testing.assert_allclose(np.linalg.norm(table["s1"][indexed], axis=1), 1 / truth[0].beam.wavelength, rtol=1e-9)
    assert table.identifiers == {0: result.experiments[0].identifier}


def test_calculated_positions_are_those_of_the_true_model(triclinic):
    truth, _, result = triclinic
    from spindle.prediction import predict_for_indexed

    table = result.reflections.view()
    table["miller_index"] = table["true_index"]
    true = predict_for_indexed(truth, table)["xyzcal.px"]
    indexed = result.reflections["id"] >= 0
    difference = (result.reflections["xyzcal.px"] - true)[indexed]
    assert np.sqrt(np.mean(difference[:, :2] ** 2)) < 0.05


def test_noise_spots_stay_without_index():
    truth = [rotation_experiment(TRICLINIC, seed=5)]
    spots = spots_of(truth, seed=2, keep=0.3)
    noise = spots.select(np.arange(len(spots) // 4))
    rng = np.random.default_rng(0)
    position = rng.uniform(0, 1, (len(noise), 3)) * (1000, 1000, 60)
    noise["xyzobs.px.value"] = position
    noise["true_index"] = np.zeros((len(noise), 3), dtype=np.int32)
    result = index(truth, ReflectionTable.concatenate([spots, noise]))
    np.testing.assert_allclose(result.experiments[0].crystal.cell, niggli_cell(TRICLINIC), rtol=2e-3)
    indexed = result.reflections["id"] >= 0
    is_noise = ~np.any(result.reflections["true_index"] != 0, axis=1)
    assert np.mean(indexed[~is_noise]) > 0.98
    assert np.mean(indexed[is_noise]) < 0.25  # 4/3 pi 0.3^3 = 0.11 by chance, a little more with duplicates


def test_two_lattices_are_both_found():
    first = rotation_experiment(TRICLINIC, seed=13)
    turned = random_rotation(17)
    second = replace(first, crystal=first.crystal.with_A(turned @ first.crystal.A))
    spots = spots_of([first, second], seed=6, keep=0.3)
    result = index([first, second], spots, max_lattices=2)
    assert len(result.experiments) == 2
    assert result.summary["fraction_indexed"] > 0.9
    for truth in (first, second):
        angles = [misorientation_deg(truth.crystal.real_space, e.crystal.real_space) for e in result.experiments]
        assert min(angles) < 0.05
    assert len({e.identifier for e in result.experiments}) == 2


@pytest.mark.parametrize("most", [3, "Auto"])
def test_a_single_crystal_is_not_found_twice(triclinic, most):
    truth, spots, _ = triclinic
    assert len(index(truth, spots, max_lattices=most).experiments) == 1


def test_sweeps_are_indexed_with_one_crystal():
    first = rotation_experiment(TRICLINIC, seed=15, n_images=20)
    second = replace(rotation_experiment(TRICLINIC, seed=15, n_images=20, axis=(0.0, 1.0, 0.0)), crystal=first.crystal)
    second = replace(second, beam=first.beam, detector=first.detector)
    spots = spots_of([first, second], seed=7, keep=0.3)
    result = index([first, second], spots)
    assert result.experiments[0].crystal is result.experiments[1].crystal
    assert set(np.unique(result.reflections["id"])) <= {-1, 0, 1}
    assert result.summary["fraction_indexed"] > 0.98
    apart = index([first, second], spots, joint_indexing=False)
    assert apart.experiments[0].crystal is not apart.experiments[1].crystal
    assert set(apart.reflections.identifiers) == {0, 1}


def test_spots_of_several_files_find_their_sweeps_by_identifier():
    first = rotation_experiment(TRICLINIC, seed=15, n_images=20)
    second = replace(rotation_experiment(TRICLINIC, seed=15, n_images=20, axis=(0.0, 1.0, 0.0)), crystal=first.crystal)
    tables = []
    for experiment in (second, first):  # the files in another order than the experiments
        table = spots_of([experiment], seed=7, keep=0.3)
        table.identifiers = {0: experiment.identifier}
        tables.append(table)
    result = index([first, second], tables)
    assert result.summary["fraction_indexed"] > 0.98
    assert len(result.reflections) == len(tables[0]) + len(tables[1])


def test_inverted_rotation_axis_is_noticed_and_named():
    truth = [rotation_experiment(TRICLINIC, seed=19)]
    spots = spots_of(truth, seed=8)
    goniometer = replace(truth[0].goniometer, rotation_axis=-truth[0].goniometer.rotation_axis)
    wrong = Experiments([replace(truth[0], goniometer=goniometer, crystal=None)])
    with pytest.raises(IndexingError, match="invert_rotation_axis=True"):
        run("index", wrong, spots, max_refine=8)


def test_wrong_beam_centre_is_mended_and_the_right_one_named():
    truth = [rotation_experiment((78.0, 79.5, 95.0, 90, 90, 90), seed=21)]
    spots = spots_of(truth, seed=9, d_min=3.0, keep=0.3)
    wrong = without_crystals(shifted(Experiments(truth), (2.4, -1.6)))
    result = run("index", wrong, spots, max_refine=8)
    assert result.summary["fraction_indexed"] > 0.98
    np.testing.assert_allclose(result.experiments[0].crystal.cell, (78.0, 79.5, 95.0, 90, 90, 90), rtol=2e-3)
    named = re.search(r"fast_slow_beam_centre=([\d.]+),([\d.]+)", result.summary["warning"])
    assert named is not None
    expected = truth[0].detector.beam_centre_px(truth[0].beam.s0)
    np.testing.assert_allclose([float(v) for v in named.groups()], expected, atol=1.5)


def test_failure_names_the_inverted_axis_too():
    truth = [rotation_experiment(TRICLINIC, seed=19)]
    spots = spots_of(truth, seed=8)
    goniometer = replace(truth[0].goniometer, rotation_axis=-truth[0].goniometer.rotation_axis)
    wrong = Experiments([replace(truth[0], goniometer=goniometer, crystal=None)])
    with pytest.raises(IndexingError, match="invert_rotation_axis=True"):
        run("index", wrong, spots, space_group="F23", max_combinations=50)


@pytest.mark.parametrize(
    ("cell", "seed", "factor"), [(TRICLINIC, 19, 0.5), ((61.0, 72.0, 83.0, 90.0, 104.0, 90.0), 5, 2.0)]
)
def test_wrong_widths_of_images_are_named(cell, seed, factor):
    truth = [rotation_experiment(cell, seed=seed)]
    spots = spots_of(truth, seed=8, keep=0.3)
    start, width = truth[0].scan.oscillation_deg
    scan = replace(truth[0].scan, oscillation_deg=(start, factor * width))
    wrong = Experiments([replace(truth[0], scan=scan, crystal=None)])
    try:
        said = run("index", wrong, spots, max_refine=8).summary["cause"]
    except IndexingError as error:
        said = str(error)
    assert f"geometry.scan.oscillation={start:g},{width:g}" in said and "the width of the images" in said


def test_good_result_has_no_warning(triclinic):
    assert not {"warning", "cause"} & set(triclinic[2].summary)


def test_local_assignment_agrees_with_simple(triclinic):
    truth, spots, simple = triclinic
    local = index(truth, spots, **{"index_assignment.method": "local"})
    both = (simple.reflections["id"] >= 0) & (local.reflections["id"] >= 0)
    assert np.mean(both) > 0.95
    np.testing.assert_array_equal(simple.reflections["miller_index"][both], local.reflections["miller_index"][both])


def test_filter_scorer_finds_the_same_lattice(triclinic):
    truth, spots, _ = triclinic
    result = index(truth, spots, solution_scorer="filter")
    np.testing.assert_allclose(result.experiments[0].crystal.cell, niggli_cell(TRICLINIC), rtol=1e-3)


def test_same_result_for_any_number_of_workers(triclinic):
    truth, spots, result = triclinic
    again = index(truth, spots, **{"mp.nproc": 2})
    np.testing.assert_array_equal(again.reflections["miller_index"], result.reflections["miller_index"])
    np.testing.assert_array_equal(again.experiments[0].crystal.A, result.experiments[0].crystal.A)


def test_without_refinement_the_lattice_is_only_predicted(triclinic):
    truth, spots, _ = triclinic
    result = index(truth, spots, mode="None")
    assert not [t for t in result.tables if t.key == "refinement_steps"]
    assert np.any(result.reflections["xyzcal.px"] != 0)


@pytest.mark.parametrize(
    "params",
    [
        {"dbscan.eps": 0.1},
        {"wide_search_binning": 3},
        {"scan_varying": True},
        {"beam.force_static": False},
        {"unit_cell.force_static": True},
        {"orientation.smoother.interval_width_degrees": 9.0},
        {"detector.smoother.absolute_num_intervals": 3},
        {"compose_model_per": "image"},
        {"parameterisation.block_width": 2.0},
        {"set_scan_varying_errors": True},
        {"trim_scan_to_observations": False},
    ],
)
def test_what_is_not_there_is_an_error_that_says_so(triclinic, params):
    truth, spots, _ = triclinic
    with pytest.raises(ParameterError, match=next(iter(params))):
        index(truth, spots, **params)


def test_method_that_is_not_installed_is_an_error_with_those_that_are(triclinic):
    truth, spots, _ = triclinic
    with pytest.raises((ParameterError, PluginError), match="fft3d"):
        index(truth, spots, **{"indexing.method": "no_such_method"})


def test_spots_of_other_sweeps_are_refused(triclinic):
    truth, spots, _ = triclinic
    other = spots.view()
    other["imageset_id"] = np.full(len(spots), 2, dtype=np.int32)
    with pytest.raises(IndexingError, match="3 sweeps"):
        index(truth, other)


def test_images_without_rotation_width_are_refused_with_the_remedy(triclinic):
    truth, spots, _ = triclinic
    still = replace(truth[0], scan=replace(truth[0].scan, oscillation_deg=(0.0, 0.0)), crystal=None)
    with pytest.raises(IndexingError, match=r"geometry.scan.oscillation"):
        run("index", Experiments([still]), spots)


def test_lattice_symmetries_are_listed():
    truth = [rotation_experiment(TETRAGONAL, seed=9)]
    result = index(truth, spots_of(truth, seed=4), max_refine=2)
    table = next(t for t in result.tables if t.key == "lattice_symmetries")
    assert table.column("Lattice")[0] == "tP"
    assert table.column("Lattice")[-1] == "aP"


def test_no_spots_is_an_error_in_words(triclinic):
    truth, spots, _ = triclinic
    with pytest.raises(IndexingError, match="no strong spots"):
        index(truth, spots.select(np.zeros(len(spots), dtype=bool)))


def test_spindle_run_is_the_same_function(triclinic):
    assert getattr(spindle, "run", run) is run
    assert isinstance(triclinic[2].experiments[0].crystal, Crystal)


def test_candidates_of_vectors_without_length_or_all_parallel_are_none() -> None:
    from spindle_program_index import candidates

    with np.errstate(all="raise"):
        cosines = candidates._cosine(
            np.array([[0.0, 0, 0], [1, 0, 0], [1, 0, 0]]), np.array([[1.0, 0, 0], [2, 0, 0], [0, 1, 0]])
        )
    assert cosines.tolist() == [0.0, 1.0, 0.0]


def test_bases_of_one_lattice_are_told_from_new_ones():
    basis = np.array([[38.0, 0.0, 0.0], [0.0, 78.5, 0.5], [0.1, 0.0, 79.0]])
    # other vectors of the same lattice, measured poorly
    same = np.array([[1, 0, 0], [1, -1, 0], [0, 2, 1]]) @ basis + 0.3
    doubled = np.diag([2, 1, 1]) @ basis
    turned = basis @ np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    bases = [basis, same, doubled, turned, same, basis, doubled, turned]
    found = list(by_lattice(bases, variants=2))
    assert [c.lattice for c in found] == [0, 0, 1, 2, 1, 2]
    assert [c.copies for c in found] == [(), (), (), (), (0, 0), ()]
    # Any number of others between them changes nothing.
    others = [np.diag(np.array([5.0, 6.3, 7.9]) * 1.041**i) for i in range(150)]
    found = list(by_lattice([*bases, *others, *bases], variants=2))
    assert [c.lattice for c in found] == [0, 0, 1, 2, 1, 2, *range(3, 153)]
