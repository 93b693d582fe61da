"""Comparison with the truth: perfect data look perfect, and known faults are found with their size."""

from __future__ import annotations

import shutil
from fractions import Fraction

import numpy as np
import pytest

import spindle
from spindle.errors import UserError
from spindle.table import Flag, ReflectionTable
from spindle.testing.simulated import simulate_sweep
from spindle_lib_comparison import read_truth


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    return simulate_sweep(tmp_path_factory.mktemp("sweep"), scan__n_images=40)


def processed(sweep, reindex=None, seed=0, bias=1.0, sigma_factor=1.0):
    """A table as a program would make that knows the truth but for counting statistics."""
    truth = read_truth(sweep.folder)
    rows = np.flatnonzero(truth.observable())
    rng = np.random.default_rng(seed)
    background = 20.0
    counts = rng.poisson(truth.counts[rows] + background) - background
    variance = truth.counts[rows] + background
    hkl = truth.hkl[rows] @ (np.eye(3, dtype=int) if reindex is None else reindex).T
    n = len(rows)
    factor = truth.counts[rows] / np.maximum(truth.intensity[rows], 1e-9) * 2.0
    return ReflectionTable(
        {
            "miller_index": hkl.astype(np.int32),
            "id": np.zeros(n, np.int32),
            "flags": np.full(n, Flag.INTEGRATED_SUM | Flag.SCALED, np.uint64),
            "xyzcal.px": truth.position[rows] + rng.normal(0, 0.02, (n, 3)),
            "intensity.sum.value": counts * bias,
            "intensity.sum.variance": variance * (sigma_factor * bias) ** 2,
            "intensity.scale.value": counts * 1.0,
            "intensity.scale.variance": variance,
            "inverse_scale_factor": factor,
        }
    )


def check(sweep, table, **parameters):
    return spindle.run("check_truth", reflections=table, files=[sweep.folder], n_shells=5, **parameters)


def test_perfect_data_look_perfect(sweep):
    summary = check(sweep, processed(sweep)).summary
    assert summary["found of these (%)"] == 100
    assert summary["matched by place but with another index"] == 0
    assert summary["sum"]["rms_z"] == pytest.approx(1.0, abs=0.05)
    assert summary["sum"]["ratio"] == pytest.approx([1.0] * 5, abs=0.05)
    assert summary["scale"]["scale"] == pytest.approx(0.5, rel=0.02)
    assert summary["scale"]["relative_b"] == pytest.approx(0.0, abs=0.5)


def test_noise_of_the_truth_itself_stands_beside(sweep):
    truth, table = read_truth(sweep.folder), processed(sweep)
    rows = np.flatnonzero(truth.observable())
    table["intensity.sum.value"], table["intensity.sum.variance"] = (
        truth.drawn[rows],
        np.maximum(truth.counts[rows], 1e-9),
    )
    result = check(sweep, table)
    summary = result.summary["sum"]
    # who counts every photon has the noise of the photons, and nothing else
    assert summary["z_rms"] == pytest.approx(summary["z_drawn"], abs=0.03)
    assert summary["z_drawn"] == pytest.approx([1.0] * 5, abs=0.15)
    headers = [t.headers[-1] for t in result.tables[1:]]
    assert headers == ["of photons\ndrawn", "rms z"]


def test_it_ends_with_what_is_not_right_and_what_to_do(sweep):
    right = check(sweep, processed(sweep))
    assert right.summary["doubts"] == [] and right.next_step == "open check_truth.svg"
    faults = {
        "summed counts are 30 % too large": {"bias": 1.3},
        "summed counts are 20 % too small": {"bias": 0.8},
        "sigmas of summed counts are 2.0 times too large": {"sigma_factor": 2.0},
        "sigmas of summed counts are 2.0 times too small": {"sigma_factor": 0.5},
    }
    for said, fault in faults.items():
        assert check(sweep, processed(sweep, **fault)).summary["doubts"] == [said]
    shifted = processed(sweep)
    shifted["miller_index"] = shifted["miller_index"].copy()
    shifted["miller_index"][::10] += 1
    assert "reflections have another index" in check(sweep, shifted).summary["doubts"][0]
    spots = processed(sweep).without("intensity.sum.value", "intensity.scale.value").select(np.arange(200))
    assert check(sweep, spots).next_step.startswith("spindle integrate <experiments> <reflections>")


def test_positions_have_their_error(sweep):
    rows = dict(check(sweep, processed(sweep)).tables[0].rows)
    x, y = map(float, rows["Predicted - true x, y (px, rms)"].split())
    assert x == pytest.approx(0.02, abs=0.002) and y == pytest.approx(0.02, abs=0.002)


@pytest.mark.parametrize(
    "reindex",
    [
        [[0, 1, 0], [0, 0, 1], [1, 0, 0]],
        [[0, -1, 0], [1, 0, 0], [0, 0, 1]],
        [[1, -1, 0], [0, 1, -1], [1, 1, 1]],  # hexagonal from rhombohedral axes: thirds on the way back
        [[0, 1, 1], [1, 0, 1], [1, 1, 0]],  # a face-centred cell: halves
    ],
)
def test_other_axes_are_recognised(sweep, reindex):
    rows = dict(check(sweep, processed(sweep, np.array(reindex))).tables[0].rows)
    found = np.array([float(Fraction(v)) for v in rows["True hkl = M hkl, M"].split()]).reshape(3, 3)
    assert np.allclose(found, np.linalg.inv(reindex))
    assert rows["found of these (%)"] == 100


def test_wrong_sigmas_are_seen(sweep):
    summary = check(sweep, processed(sweep, sigma_factor=2.0)).summary
    assert summary["sum"]["rms_z"] == pytest.approx(0.5, abs=0.05)


def test_wrong_indices_are_counted(sweep):
    table = processed(sweep)
    table["miller_index"] = table["miller_index"].copy()
    table["miller_index"][:7] += 1
    assert check(sweep, table).summary["matched by place but with another index"] == 7


def test_picture_is_svg(sweep):
    import xml.etree.ElementTree as ElementTree

    result = check(sweep, processed(sweep))
    path = sweep.folder / "picture.svg"
    result.files["check_truth.svg"](path)
    root = ElementTree.parse(path).getroot()
    assert root.tag.endswith("svg") and len(root.findall(".//{*}rect")) > 100
    assert not check(sweep, processed(sweep), **{"output.picture": ""}).files


def test_reflections_of_another_set_are_refused(sweep):
    table = processed(sweep)
    table["xyzcal.px"] = table["xyzcal.px"] + 5000.0
    with pytest.raises(UserError, match="are these the"):
        check(sweep, table)


def test_a_folder_without_truth_is_refused(sweep, tmp_path):
    with pytest.raises(UserError, match="give the folder that `spindle simulate` wrote"):
        spindle.run("check_truth", reflections=processed(sweep), files=[tmp_path])


def test_each_experiment_finds_its_sweep_crystal_and_panels(tmp_path):
    """Two sweeps of two crystals on three panels, numbered from 0: the truths are found by the places alone."""
    root = simulate_sweep(
        tmp_path / "two",
        **{
            "scan.n_images": 6, "scan.start": (0.0, 90.0), "scan.first_image": (0, 11), "crystal.one_per_sweep": True,
            "crystal.lattices": 2, "crystal.weaker": 1.0, "detector.model": "300K", "detector.panels": "modules",
        },
    ).folder  # fmt: skip
    parts = []
    wanted = [("sweep_2", 1), ("sweep_1", 0), ("sweep_2", 0)]
    for number, (name, lattice) in enumerate(wanted):
        truth = read_truth(root / name, lattice)
        rows = np.flatnonzero(truth.observable())
        parts.append(
            ReflectionTable(
                {
                    "miller_index": truth.hkl[rows].astype(np.int32),
                    "id": np.full(len(rows), number, np.int32),
                    "panel": truth.panel[rows].astype(np.uint64),
                    "flags": np.full(len(rows), Flag.INTEGRATED_SUM, np.uint64),
                    "xyzcal.px": truth.position[rows] + [0.0, 0.0, truth.first_image - 1.0],
                    "intensity.sum.value": truth.counts[rows],
                    "intensity.sum.variance": truth.counts[rows] + 20.0,
                }
            )
        )
    table = ReflectionTable({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
    assert set(table["panel"]) == {0, 1, 2}
    summary = spindle.run("check_truth", reflections=table, files=[root], n_shells=2).summary
    assert [one["Truth"] for one in summary["experiments"]] == [f"{name}, lattice {k}" for name, k in wanted]
    for one in summary["experiments"]:
        assert one["found of these (%)"] == 100 and one["matched by place but with another index"] == 0
    assert summary["sum"]["ratio"] == pytest.approx([1.0, 1.0])


def test_fits_beside_lost_images_are_compared_with_what_the_whole_beam_gives(sweep, tmp_path):
    """The beam was lost on five images: whoever leaves them out finds in the others what the whole beam gives, and sums nothing there."""
    folder = tmp_path / "lost"
    shutil.copytree(sweep.folder, folder)
    with np.load(folder / "truth.npz") as arrays:
        changed = {name: arrays[name].copy() for name in arrays.files}
    whole = read_truth(sweep.folder).counts
    changed["frame_scale"][15:20] = 0.0
    np.savez(folder / "truth.npz", **changed)
    truth = read_truth(folder)
    beside = truth.counts < 0.999 * whole
    assert 0.1 < beside.mean() < 0.5
    np.testing.assert_allclose(truth.undimmed, whole, rtol=0.15)  # the images around tell the beam
    rows = np.flatnonzero(truth.observable())
    rng = np.random.default_rng(3)
    value = rng.poisson(truth.undimmed[rows] + 20.0) - 20.0
    table = ReflectionTable(
        {
            "miller_index": truth.hkl[rows].astype(np.int32),
            "id": np.zeros(len(rows), np.int32),
            "flags": np.where(beside[rows], Flag.INTEGRATED_PRF, Flag.INTEGRATED_PRF | Flag.INTEGRATED_SUM).astype(
                np.uint64
            ),
            "xyzcal.px": truth.position[rows],
            "intensity.prf.value": value * 1.0,
            "intensity.prf.variance": truth.undimmed[rows] + 20.0,
        }
    )
    found = spindle.run("check_truth", reflections=table, files=[folder], n_shells=5).summary["prf"]
    assert found["rms_z"] == pytest.approx(1.0, abs=0.05)
    np.testing.assert_allclose(found["ratio"], 1.0, atol=0.02)
