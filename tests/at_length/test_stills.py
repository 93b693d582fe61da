"""Simulated stills from images to intensities and partialities, against what was simulated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

import spindle
from spindle.errors import UserError
from spindle.models import Experiments
from spindle.table import Flag
from spindle.testing.simulated import simulate_sweep

N = 16
CELL = {
    "indexing.known_symmetry.unit_cell": (38.0, 46.0, 57.0, 90.0, 90.0, 90.0),
    "indexing.known_symmetry.space_group": "P 21 21 21",
}
SEED = 5


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    """Stills of as many crystals, and one without."""
    return simulate_sweep(
        tmp_path_factory.mktemp("stills"), scan__stills=True, scan__n_images=N, crystal__mosaic_spread=0.15,
        structure__mean_counts=200.0, scan__hits=0.95, scan__volume_spread=0.3, run__seed=SEED,
    )  # fmt: skip


@pytest.fixture(scope="module")
def refined(truth):
    imported = spindle.run("import", files=truth.images).experiments
    spots = spindle.run("find_spots", imported).reflections
    indexed = spindle.run("index", imported, spots, **CELL)
    return spindle.run("refine", indexed.experiments, indexed.reflections)


@pytest.fixture(scope="module")
def integrated(refined):
    return spindle.run("integrate", refined.experiments, refined.reflections)


@pytest.fixture(scope="module")
def pairs(truth, integrated):
    return matched(truth, integrated)


def matched(truth, integrated):
    """Rows of integrated reflections away from dead pixels and the beamstop, and their rows in the truth."""
    t, r = truth.arrays, integrated.reflections
    image = np.array([e.scan.image_range[0] - 1 for e in integrated.experiments])
    places = np.column_stack([t["xy_pred_0"], t["image_0"] * 1e4])
    distance, row = cKDTree(places).query(np.column_stack([r["xyzcal.px"][:, :2], image[r["id"]] * 1e4]))
    bad = np.argwhere((t["bad"] | t["shadow"]).T)
    near, _ = cKDTree(bad).query(r["xyzcal.px"][:, :2])
    good = (distance < 1.5) & (near > 8) & r.has_flags(Flag.INTEGRATED_SUM) & ~r.has_flags(Flag.OVERLAPPED_FG)
    rows = np.flatnonzero(good)
    _, first = np.unique(row[rows], return_index=True)
    return rows[first], row[rows[first]]


def test_all_stills_with_a_crystal_are_integrated(truth, integrated):
    hits = set(np.flatnonzero(truth.arrays["volume_0"]))
    found = {e.scan.image_range[0] - 1 for e in integrated.experiments}
    assert len(hits) < N  # there is one to miss
    assert found == hits


def test_orientations_are_those_simulated(truth, integrated):
    # crystals are known up to the symmetry of P 21 21 21: signs of two axes
    vectors = []
    for experiment in integrated.experiments:
        U = truth.arrays["U_0"][experiment.scan.image_range[0] - 1]
        turns = [np.diag(s) for s in ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))]
        differences = [
            Rotation.from_matrix(experiment.crystal.U @ (U @ turn).T).as_rotvec(degrees=True) for turn in turns
        ]
        vectors.append(min(differences, key=np.linalg.norm))
    # beam, detector and all crystals may be turned together: nothing shows it
    mean = np.mean(vectors, axis=0)
    beam = integrated.experiments[0].beam
    turned = Rotation.from_rotvec(mean, degrees=True).apply([0.0, 0.0, -1.0])
    assert np.degrees(np.linalg.norm(turned - beam.s0 * beam.wavelength)) < 0.02
    assert np.linalg.norm(vectors - mean, axis=1).max() < 0.06


def test_partial_intensities_are_right_and_so_are_their_sigmas(truth, integrated, pairs):
    rows, row = pairs
    t, r = truth.arrays, integrated.reflections
    expected = (t["n_mean_0"] * t["frame_scale"][t["image_0"]])[row]
    assert len(rows) > 1000
    assert r["intensity.sum.value"][rows].sum() / t["n_live_0"][row].sum() == pytest.approx(1, abs=0.01)
    z = (r["intensity.sum.value"][rows] - expected) / np.sqrt(r["intensity.sum.variance"][rows])
    for shell in np.array_split(np.argsort(t["d_0"][row]), 5):
        assert r["intensity.sum.value"][rows[shell]].sum() / t["n_live_0"][row[shell]].sum() == pytest.approx(
            1, abs=0.02
        )
        assert 0.9 < np.sqrt(np.mean(z[shell] ** 2)) < 1.1


def test_partialities_are_those_simulated(truth, integrated, pairs):
    rows, row = pairs
    t, r = truth.arrays, integrated.reflections
    true = np.exp(-0.5 * (t["turn_0"] / t["rocking_0"]) ** 2)[row]
    difference = r["partiality"][rows] - true
    assert np.sqrt(np.mean(difference**2)) < 0.08 and abs(difference.mean()) < 0.02
    widths = [e.profile["sigma_m"] for e in integrated.experiments]
    assert np.mean(widths) == pytest.approx(np.degrees(t["rocking_0"].mean()), rel=0.05)


def test_full_intensities_follow_the_structure(truth, integrated, pairs):
    rows, row = pairs
    t, r = truth.arrays, integrated.reflections
    full = r["intensity.sum.value"] * r["lp"] / (r["partiality"] * r["qe"])
    image = t["image_0"][row]
    scale = (t["volume_0"] * t["frame_scale"])[image]
    good = (r["partiality"][rows] > 0.5) & (r["intensity.sum.value"][rows] > 100)
    rows, row, scale = rows[good], row[good], scale[good]
    ratio = np.log(full[rows] / (t["I_true_0"][row] * t["absorption_0"][row] * scale))
    assert np.std(ratio) < 0.35
    # no trend with resolution, which 1 / sin 2 theta alone would make a factor of several
    d = t["d_0"][row]
    far, near = ratio[d < np.quantile(d, 0.25)], ratio[d > np.quantile(d, 0.75)]
    assert abs(np.median(far) - np.median(near)) < 0.1


def test_ellipsoids_give_the_same_and_fit_profiles(truth, refined):
    result = spindle.run("integrate", refined.experiments, refined.reflections, **{"profile.algorithm": "ellipsoid"})
    rows, row = matched(truth, result)
    t, r = truth.arrays, result.reflections
    expected = (t["n_mean_0"] * t["frame_scale"][t["image_0"]])[row]
    assert len(rows) > 1000
    for kind in ("sum", "prf"):
        value, variance = r[f"intensity.{kind}.value"][rows], r[f"intensity.{kind}.variance"][rows]
        good = variance > 0
        z = (value - expected)[good] / np.sqrt(variance[good])
        assert value[good].sum() / expected[good].sum() == pytest.approx(1, abs=0.01)
        assert 0.93 < np.sqrt(np.mean(z**2)) < 1.07 and abs(z.mean()) < 0.09
    both = good & (r["intensity.sum.variance"][rows] > 0)
    ratio = np.sqrt(r["intensity.prf.variance"][rows][both] / r["intensity.sum.variance"][rows][both])
    assert np.median(ratio) < 0.95
    difference = r["partiality"][rows] - np.exp(-0.5 * (t["turn_0"] / t["rocking_0"]) ** 2)[row]
    assert np.sqrt(np.mean(difference**2)) < 0.08 and abs(difference.mean()) < 0.02
    # points are widened by turned blocks, hardly by their size
    angles = [e.profile["parameters"][1] for e in result.experiments]
    assert np.mean(angles) == pytest.approx(t["rocking_0"].mean(), rel=0.1)


@pytest.mark.parametrize("algorithm", ["gaussian_rs", "ellipsoid"])
def test_models_made_before_are_those_of_integration(refined, integrated, algorithm):
    name = {"profile.algorithm": algorithm}
    made = spindle.run("create_profile_model", refined.experiments, refined.reflections, **name).experiments
    again = spindle.run("integrate", made, refined.reflections, **name, create_profile_model=False)
    assert len(again.experiments) == len(integrated.experiments)
    assert all(e.profile["__id__"] == algorithm for e in made)
    if algorithm == "ellipsoid":
        # of a beam that diverges by 0.03 degrees and blocks that are turned by 0.15
        shares = [e.profile["beam_share"] for e in made]
        assert np.mean(shares) == pytest.approx(0.03**2 / (0.03**2 + 0.15**2), abs=0.015)
    else:
        for one in ("intensity.sum.value", "bbox"):
            np.testing.assert_array_equal(again.reflections[one], integrated.reflections[one])


def test_stills_have_no_third_dimension(integrated):
    r = integrated.reflections
    assert (r["xyzcal.px"][:, 2] == 0).all() and (np.diff(r["bbox"][:, 4:]) == 1).all()
    assert not r["entering"].any() and np.abs(r["delpsical.rad"]).max() < 0.1
    assert "intensity.prf.value" not in r


def test_results_do_not_depend_on_workers(refined, integrated):
    again = spindle.run("integrate", refined.experiments, refined.reflections, **{"mp.nproc": 2})
    for name in ("intensity.sum.value", "partiality", "id"):
        assert np.array_equal(again.reflections[name], integrated.reflections[name])


def test_a_still_without_spots_is_left_out_and_named(refined):
    table = refined.reflections
    few = np.flatnonzero(table["id"] == 2)[5:]
    table = table.select(np.setdiff1d(np.arange(len(table)), few))
    result = spindle.run("integrate", refined.experiments, table)
    assert len(result.experiments) == len(refined.experiments) - 1
    (said,) = result.summary["failed"]
    assert said["experiment"] == 2 and "simulated_" in said["image"] and "5 reference spots" in said["reason"]
    assert set(np.unique(result.reflections["id"])) == set(range(len(result.experiments)))


def test_a_mixture_with_rotation_data_is_refused(refined):
    first = refined.experiments[0]
    turned = replace(first, scan=replace(first.scan, oscillation_deg=(0.0, 1.0)))
    with pytest.raises(UserError, match="experiment 1 is a still, experiment 0 was rotated"):
        spindle.run("integrate", Experiments([turned, *list(refined.experiments)[1:]]), refined.reflections)


@pytest.mark.parametrize("name", ["prediction.padding", "integration.filter.min_zeta"])
def test_what_means_nothing_to_stills_is_refused(refined, name):
    with pytest.raises(UserError, match=name):
        spindle.run("integrate", refined.experiments, refined.reflections, **{name: 0.5})
