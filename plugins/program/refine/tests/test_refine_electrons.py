"""Electrons: what is refined where the Ewald sphere is flat, and beams that drift."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from spindle_refiner_centroid.problem import Problem

import spindle
from spindle.files import read_experiments, read_reflections
from spindle.geometry import rotation_matrix
from spindle.models import Beam, Crystal, Detector, Experiment, Experiments, Goniometer, Panel, Scan
from spindle.table import Flag, ReflectionTable
from spindle.testing import shared_data
from spindle.testing.refinement_problems import spots_of, with_noise
from spindle_lib_refinement.flat_sphere import tied_to_cell
from spindle_lib_refinement.testing import plain_settings

CELL = (8.1, 9.7, 13.2, 90.0, 101.3, 90.0)
NOISE = np.array([0.08, 0.08, 0.1])  # pixels, pixels, images
HELD = {"Detector1Dist", "Detector1Tau2", "Detector1Tau3"}


def microscope(n_images: int = 160, distance: float = 1000.0, turn: float = 0.8) -> Experiment:
    """A small molecule before a camera of 1024 x 1024 pixels of 0.055 mm, electrons of 200 kV, the axis askew."""
    panel = Panel(
        fast_axis=np.array([1.0, 0.0, 0.0]),
        slow_axis=np.array([0.0, -1.0, 0.0]),
        origin=np.array([-28.0, 28.5, -distance]),
        pixel_size=np.array([0.055, 0.055]),
        image_size=(1024, 1024),
        trusted_range=(0.0, 1e6),
    )
    return Experiment(
        beam=Beam(np.array([0.0, 0.0, 1.0]), 0.0251, polarization_fraction=0.5, probe="electron"),
        detector=Detector((panel,)),
        goniometer=Goniometer(rotation_axis=np.array([0.82, 0.57, 0.0]) / np.hypot(0.82, 0.57)),
        scan=Scan(image_range=(1, n_images), oscillation_deg=(-40.0, 0.5)),
        identifier=f"microscope {turn}",
        crystal=Crystal.from_cell(CELL, rotation_matrix(np.array([0.6, 0.0, 0.8]), turn), "P 2"),
    )


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What the program says, information included."""
    caplog.set_level("INFO")
    return caplog


def at_distance(experiment: Experiment, factor: float) -> Experiment:
    """The experiment with a wrong camera length, and the cell that goes with it."""
    (panel,) = experiment.detector
    moved = replace(panel, origin=panel.origin * [1.0, 1.0, factor])
    return replace(
        experiment,
        detector=Detector((moved,)),
        crystal=experiment.known_crystal.with_A(experiment.known_crystal.A / factor),
    )


def seen(experiment: Experiment, index: int = 0, seed: int = 0) -> ReflectionTable:
    return with_noise(spots_of(experiment, 1.2, index), seed, NOISE)


def shifted(spots: ReflectionTable, xy: np.ndarray) -> ReflectionTable:
    """Spots with the pattern moved by xy (n, 2) px."""
    moved = spots.view()
    moved["xyzobs.px.value"] = spots["xyzobs.px.value"] + np.column_stack([xy, np.zeros(len(xy))])
    return moved


def drift(z: np.ndarray) -> np.ndarray:
    """(n, 2) px: how far the pattern has wandered at array indices z."""
    return np.column_stack([2.0 * np.sin(z / 25.0), 1.5 * np.cos(z / 32.0) - 1.5])


def refine(experiments: Experiments, spots: ReflectionTable, **changes: Any) -> Any:
    return spindle.run("refine", experiments, spots, **{"outlier.algorithm": "null", **changes})


def names(experiment: Experiment, varying: bool = False, **changes: Any) -> set[str]:
    return set(Problem(Experiments([experiment]), plain_settings(**changes), varying, False).names)


TIE = {"values": CELL, "sigmas": (0.01, 0.01, 0.01, 0.1, 0.1, 0.1)}


@pytest.mark.parametrize(
    ("changes", "held"),
    [
        ({}, HELD),
        ({"parameterisation__detector__fix": None}, set()),
        ({"parameterisation__detector__fix": "orientation"}, {"Detector1Tau1", "Detector1Tau2", "Detector1Tau3"}),
        ({"parameterisation__crystal__fix": "cell"}, HELD - {"Detector1Dist"}),
        ({"parameterisation__crystal__unit_cell__restraints__tie_to_target": [TIE]}, HELD - {"Detector1Dist"}),
        ({"parameterisation__crystal__unit_cell__restraints__tie_to_target": [{**TIE, "id": (1,)}]}, HELD),
        ({"parameterisation__crystal__unit_cell__restraints__tie_to_target": [{**TIE, "sigmas": (0,) * 6}]}, HELD),
    ],
)
def test_what_looks_like_the_cell_is_kept_while_the_cell_is_free(changes: dict[str, Any], held: set[str]) -> None:
    experiment = microscope()
    everything = HELD | {"Detector1Shift1", "Detector1Shift2", "Detector1Tau1"}
    assert {n for n in names(experiment, **changes) if n.startswith("Detector")} == everything - held
    by_wavelength = replace(experiment, beam=replace(experiment.beam, probe="x-ray"))  # files of older programs
    assert names(by_wavelength, **changes) == names(experiment, **changes)


def test_an_axis_that_is_refined_takes_the_place_of_what_looks_like_it() -> None:
    free = {"parameterisation__goniometer__fix": ()}
    without = names(microscope())
    refined = names(microscope(), **free)
    assert without - refined == {"Detector1Tau1", "Beam1Mu2"}
    assert refined - without == {"Goniometer1Gamma1", "Goniometer1Gamma2"}
    assert "Detector1Tau1" in names(microscope(), parameterisation__goniometer__fix_list=["Gamma"], **free)


def test_xrays_move_the_whole_detector() -> None:
    experiment = microscope()
    xrays = replace(experiment, beam=Beam(np.array([0.0, 0.0, 1.0]), 1.0))
    assert names(xrays) >= HELD and "Beam1Mu1" not in names(xrays, varying=True)


def test_nothing_ties_a_cell_that_varies_with_the_scan() -> None:
    tie = {"parameterisation__crystal__unit_cell__restraints__tie_to_target": [TIE]}
    assert "Detector1Dist" in names(microscope(), **tie)
    assert "Detector1Dist" not in names(
        microscope(), varying=True, parameterisation__crystal__unit_cell__smoother__interval_width_degrees=20.0, **tie
    )


def test_the_cell_is_as_right_as_the_distance(said: pytest.LogCaptureFixture) -> None:
    truth = microscope()
    start = at_distance(truth, 0.99)
    result = refine(Experiments([start]), seen(truth), scan_varying=False)
    assert result.experiments[0].detector[0].directed_distance == pytest.approx(
        start.detector[0].directed_distance, rel=1e-6
    )
    assert result.experiments[0].crystal.cell[:3] == pytest.approx(0.99 * np.array(CELL[:3]), rel=5e-4)
    assert any("as right as the distance" in m and "tie_to_target" in m for m in said.messages)


def test_a_known_cell_tells_the_distance(said: pytest.LogCaptureFixture) -> None:
    truth = microscope()
    settings = tied_to_cell(plain_settings(), Experiments([truth]), CELL).parameterisation.crystal
    (tie,) = settings.unit_cell.restraints.tie_to_target
    result = refine(
        Experiments([at_distance(truth, 0.97)]), seen(truth), scan_varying=False,
        **{"restraints.tie_to_target.values": tie.values, "restraints.tie_to_target.sigmas": tie.sigmas},
    )  # fmt: skip
    assert abs(result.experiments[0].detector[0].directed_distance) == pytest.approx(1000.0, rel=1e-3)
    assert result.experiments[0].crystal.cell == pytest.approx(CELL, rel=1e-3)
    assert any("the cell is known, so that the distance is refined" in m for m in said.messages)


def test_cells_are_tied_only_where_that_helps() -> None:
    electrons = Experiments([microscope()])
    xrays = Experiments([replace(electrons[0], beam=Beam(np.array([0.0, 0.0, 1.0]), 1.0))])
    settings = plain_settings()
    assert tied_to_cell(settings, xrays, CELL) is settings
    assert tied_to_cell(settings, electrons, None) is settings
    for changes in ({"parameterisation__detector__fix": "all"}, {"parameterisation__crystal__fix": "cell"}):
        own = plain_settings(**changes)
        assert tied_to_cell(own, electrons, CELL) is own


def test_a_beam_that_drifts_is_followed(said: pytest.LogCaptureFixture) -> None:
    truth = microscope()
    spots = seen(truth)
    moved = shifted(spots, drift(spots["xyzobs.px.value"][:, 2]))
    result = refine(Experiments([truth]), moved)
    (after,) = result.experiments
    assert after.crystal.cell == pytest.approx(CELL, rel=5e-4)
    z = np.arange(161.0)
    places = np.array([after.detector.beam_centre_px(s0, 0) for s0 in after.beam.s0_at_scan_points])
    before = np.array(truth.detector.beam_centre_px(truth.beam.s0, 0))
    assert np.abs(places - before - drift(z)).max() < 0.25
    assert result.summary["rmsd_px"][0][:2] == pytest.approx(NOISE[:2], rel=0.15)
    assert any("The beam moves on the detector during the scan" in m for m in said.messages)
    static = refine(Experiments([truth]), moved, **{"beam.force_static": True})
    assert static.experiments[0].beam.s0_at_scan_points is None
    assert static.summary["rmsd_px"][0][0] > 0.3


def test_cells_stay_constant_and_outliers_are_told_in_spite_of_the_drift(said: pytest.LogCaptureFixture) -> None:
    truth = microscope(80)
    spots = seen(truth)
    moved = shifted(spots, drift(spots["xyzobs.px.value"][:, 2]))
    rng = np.random.default_rng(3)
    wild = rng.random(len(moved)) < 0.05
    moved["xyzobs.px.value"] = moved["xyzobs.px.value"] + np.where(
        wild[:, None], rng.choice([-4.0, 4.0], (len(moved), 3)), 0.0
    )
    result = refine(Experiments([truth]), moved, **{"outlier.algorithm": "mcd"})
    assert result.experiments[0].crystal.cell == pytest.approx(CELL, rel=1e-3)
    assert any("cell constant" in m for m in said.messages)
    used = result.reflections.has_flags(Flag.USED_IN_REFINEMENT)
    assert not used[wild].any() and used[~wild].mean() > 0.7


def test_a_beam_that_stands_still_is_kept_constant() -> None:
    result = refine(Experiments([microscope()]), seen(microscope()))
    assert result.experiments[0].beam.s0_at_scan_points is None


def test_scans_that_share_a_beam_drift_each_by_itself() -> None:
    first = microscope(70)
    second = replace(microscope(70, turn=1.3), beam=first.beam, detector=first.detector)
    spots = [seen(first), seen(second, 1, 1)]
    moved = [shifted(t, k * drift(t["xyzobs.px.value"][:, 2])) for t, k in zip(spots, (1, -1), strict=True)]
    result = refine(Experiments([first, second]), ReflectionTable.concatenate(moved))
    one, other = (e.beam.s0_at_scan_points for e in result.experiments)
    pixels = (one - other)[:, :2] / first.beam.s0[2] * 1000 / 0.055  # along x and y, which is against slow
    expected = 2 * drift(np.arange(71.0)) * (-1, 1)
    assert np.abs(pixels - pixels.mean(axis=0) - expected + expected.mean(axis=0)).max() < 0.3
    assert (np.array(result.summary["rmsd_px"])[:, :2] < 0.11).all()


def test_quartz_drifts() -> None:
    """Electron diffraction of quartz: dials.refine 3.12.1 leaves 0.91, 1.23 px; with a beam of four intervals 0.51, 0.46."""
    data = shared_data("dials_processed") / "quartz_processed"
    result = spindle.run("refine", read_experiments(data / "indexed.expt"), read_reflections(data / "indexed.refl"))
    x, y, z = result.summary["rmsd_px"][0]
    assert x < 0.51 and y < 0.46 and z < 0.22
    assert result.experiments[0].crystal.cell[[0, 2]] == pytest.approx([4.925, 5.401], abs=0.003)
