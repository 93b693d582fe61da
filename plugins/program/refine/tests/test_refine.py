"""The refiner: known answers, engines, constraints, restraints, failures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spindle_refiner_centroid import CentroidRefiner

from spindle.contracts.refiner import RefinementError, RefinementResult
from spindle.files import read_experiments, read_reflections, write_experiments
from spindle.geometry import rotation_matrix
from spindle.models import Crystal, Detector, Experiment, Experiments
from spindle.table import ReflectionTable
from spindle.testing import make_context, shared_data
from spindle.testing.refiner import disturbed, rotation_experiment, spots_of
from spindle_lib_refinement.testing import plain_settings


def refine(experiments: Any, table: ReflectionTable, scan_varying: bool = False, **changes: Any) -> RefinementResult:
    if isinstance(experiments, Experiment):
        experiments = Experiments([experiments])
    return CentroidRefiner(None, make_context()).refine(
        experiments, table, plain_settings(**changes), scan_varying, "refinement"
    )


def noisy(table: ReflectionTable, sigma_px: float = 0.1, sigma_z: float = 0.1, seed: int = 0) -> ReflectionTable:
    rng = np.random.default_rng(seed)
    out = table.view()
    out["xyzobs.px.value"] = table["xyzobs.px.value"] + rng.normal(size=(len(table), 3)) * [sigma_px, sigma_px, sigma_z]
    out["xyzobs.px.variance"] = np.tile(np.array([sigma_px, sigma_px, sigma_z]) ** 2, (len(table), 1))
    return out


@pytest.mark.parametrize(
    ("folder", "n", "objective", "rmsd"),
    [
        # dials.refine 3.12.1 with scan_varying=False outlier.algorithm=null reflections_per_degree=None
        # close_to_spindle_cutoff=0,
        # and an independent numpy implementation with scipy's Levenberg-Marquardt.
        ("quartz_processed", 444, 10286.3, (0.031851, 0.039658, 0.22433)),
        ("centroid_test_data", 567, 18768.1, (0.14508, 0.18298, 0.3983)),
    ],
)
@pytest.mark.parametrize("engine", ["LevMar", "SparseLevMar"])
def test_objective_agrees_with_dials(
    folder: str, n: int, objective: float, rmsd: tuple[float, float, float], engine: str
) -> None:
    data = shared_data("dials_processed") / folder
    result = refine(
        read_experiments(data / "indexed.expt"),
        read_reflections(data / "indexed.refl"),
        reflections__reflections_per_degree=None,
        reflections__weighting_strategy__override="statistical",
        reflections__close_to_spindle_cutoff=0.0,
        reflections__scan_margin=0.0,
        refinery__engine=engine,
        refinery__max_iterations=60,
        parameterisation__detector__fix=None,
    )
    assert len(result.parameter_names) == 12
    assert result.n_reflections.tolist() == [n]
    # LevMar leaves hardly determined directions where they are: that costs at most half a unit of reduced chi-squared
    # (16 and 22) each.
    assert result.steps[-1].objective == pytest.approx(objective, rel=1e-3 if engine == "LevMar" else 2e-5)
    assert np.append(result.steps[-1].rmsd[:2], np.rad2deg(result.steps[-1].rmsd[2])) == pytest.approx(rmsd, rel=0.02)


def test_exact_data_are_recovered_quadratically() -> None:
    truth = rotation_experiment()
    result = refine(disturbed(truth), spots_of(truth))
    objectives = np.array([s.objective for s in result.steps])
    assert result.experiments[0].crystal.cell == pytest.approx(truth.crystal.cell, rel=1e-6)
    assert objectives[3] < 1e-14 * objectives[0]


def test_errors_are_honest() -> None:
    truth = rotation_experiment()
    spots = spots_of(truth)
    pulls = []
    for seed in range(12):
        result = refine(truth, noisy(spots, seed=seed))
        crystal = result.experiments[0].crystal
        pulls.append((crystal.cell[[0, 2]] - truth.crystal.cell[[0, 2]]) / crystal.cell_sd[[0, 2]])
        assert result.reduced_chi_squared == pytest.approx(1.0, abs=0.15)
    assert 0.6 < np.sqrt(np.mean(np.square(pulls))) < 1.5  # 24 values: 1 +- 0.15


@pytest.mark.parametrize("engine", ["GaussNewton", "SparseLevMar", "SimpleLBFGS", "LBFGScurvs"])
def test_engines_find_the_same_minimum(engine: str) -> None:
    truth = rotation_experiment(40)
    spots = noisy(spots_of(truth, 3.5))
    same: dict[str, Any] = {"reflections__weighting_strategy__override": "statistical"}
    reference = refine(disturbed(truth), spots, **same)
    result = refine(disturbed(truth), spots, refinery__engine=engine, refinery__max_iterations=2000, **same)
    assert result.steps[-1].objective == pytest.approx(reference.steps[-1].objective, rel=2e-3)


def test_turning_the_laboratory_changes_nothing() -> None:
    truth = rotation_experiment(30)
    spots = noisy(spots_of(truth, 3.5))
    R = rotation_matrix(np.array([0.36, 0.48, 0.8]), 1.1)
    moved = replace(
        truth,
        beam=replace(
            truth.beam, direction=R @ truth.beam.direction, polarization_normal=R @ truth.beam.polarization_normal
        ),
        goniometer=replace(truth.goniometer, rotation_axis=R @ truth.goniometer.rotation_axis),
        crystal=truth.crystal.with_A(R @ truth.crystal.A),
        detector=truth.detector.with_frames(R @ truth.detector.d),
    )
    one, two = refine(truth, spots), refine(moved, spots)
    assert two.steps[-1].objective == pytest.approx(one.steps[-1].objective, rel=1e-6)
    assert two.experiments[0].crystal.cell == pytest.approx(one.experiments[0].crystal.cell, rel=1e-6)


def drifting(amplitude_deg: float = 0.1, periods: float = 1.5) -> tuple[Experiment, ReflectionTable]:
    """A crystal that turns back and forth, and its spots: pieces of static scans, one per two images."""
    base = rotation_experiment(90)
    pieces = []
    for z in range(0, 90, 2):
        tilt = np.deg2rad(amplitude_deg) * np.sin(2 * np.pi * periods * (z + 1) / 90)
        crystal = base.crystal.with_A(rotation_matrix(np.array([0.0, 1.0, 0.0]), tilt) @ base.crystal.A)
        table = spots_of(replace(base, crystal=crystal), 3.5)
        inside = np.floor(table["xyzobs.px.value"][:, 2] / 2) == z // 2
        pieces.append(table.select(inside))
    return base, ReflectionTable.concatenate(pieces)


def test_intervals_are_narrowed_where_the_crystal_moves() -> None:
    experiment, spots = drifting()
    spots = noisy(spots, 0.02, 0.02)
    wide = refine(
        experiment, spots, True, parameterisation__crystal__orientation__smoother__interval_width_degrees=36.0
    )
    automatic = refine(experiment, spots, True)
    assert len(automatic.parameter_names) > len(wide.parameter_names)
    assert automatic.rmsd_px[0, 2] < 0.6 * wide.rmsd_px[0, 2]
    assert automatic.rmsd_px[0].max() < 0.03


def test_intervals_stay_wide_where_it_does_not() -> None:
    truth = rotation_experiment()
    result = refine(truth, noisy(spots_of(truth)), True)
    # Five intervals of 18 degrees at most, seven coefficients of three angles; a constant cell (2), beam and detector (7).
    assert len(result.parameter_names) <= 30
    assert sum("Phi" not in name for name in result.parameter_names) == 9


def test_scan_points_follow_the_drift() -> None:
    experiment, spots = drifting(amplitude_deg=0.05, periods=1.0)
    result = refine(experiment, spots, True)
    points = result.experiments[0].crystal.A_at_scan_points
    for z in (20, 45, 70):
        tilt = np.deg2rad(0.05) * np.sin(2 * np.pi * z / 90)
        expected = rotation_matrix(np.array([0.0, 1.0, 0.0]), tilt) @ experiment.crystal.A
        middle = points[z] @ np.linalg.inv(expected)
        # Beam and detector may take up a common rotation; what varies with the scan must be right.
        reference = points[0] @ np.linalg.inv(experiment.crystal.A)
        assert np.abs(middle - reference).max() < 2.5e-4


def test_the_summary_counts_what_is_refined_against_when_models_vary() -> None:
    truth = rotation_experiment(n_images=60)
    table = noisy(spots_of(truth))
    bad = np.random.default_rng(1).random(len(table)) < 0.1
    table["xyzobs.px.value"] = table["xyzobs.px.value"] + np.where(bad, 2.0, 0.0)[:, None] * [1.0, 0.7, 0.4]
    phi = table["xyzobs.px.value"][:, 2] / 60
    table["xyzobs.px.value"] = table["xyzobs.px.value"] + np.outer(np.sin(6 * phi), [0.5, 0.3, 0.0])
    result = refine(truth, table, scan_varying=True, reflections__outlier__algorithm="tukey")
    counts = [int(t.title.split()[3].replace(",", "")) for t in result.tables if t.key == "residual_quantiles"]
    assert counts[0] > counts[-1] == result.steps[-1].n_reflections


def test_fixed_models_stay() -> None:
    truth = rotation_experiment(40)
    start = disturbed(truth)
    result = refine(
        start,
        spots_of(truth, 3.5),
        parameterisation__crystal__fix="all",
        parameterisation__detector__fix="orientation",
        parameterisation__beam__fix=("all",),
        reflections__close_to_spindle_cutoff=0.05,
    )
    assert result.parameter_names == ["Detector1Dist", "Detector1Shift1", "Detector1Shift2"]
    assert result.experiments[0].crystal is start.crystal
    assert result.experiments[0].beam is start.beam
    assert result.experiments[0].detector[0].normal == pytest.approx(start.detector[0].normal)


def test_fix_list_takes_regular_expressions() -> None:
    truth = rotation_experiment(40)
    result = refine(
        truth,
        noisy(spots_of(truth, 3.5)),
        parameterisation__detector__fix_list=["Tau[23]", "Dist"],
        parameterisation__crystal__orientation__fix_list=["Crystal1Phi2"],
    )
    assert "Crystal1Phi2" not in result.parameter_names
    assert [n for n in result.parameter_names if n.startswith("Detector")] == [
        "Detector1Shift1",
        "Detector1Shift2",
        "Detector1Tau1",
    ]


def test_a_single_image_can_be_taken_for_a_still() -> None:
    wide = replace(
        rotation_experiment(1, 0.2),
        goniometer=replace(
            rotation_experiment().goniometer, setting_rotation=rotation_matrix(np.array([0.0, 1.0, 0.0]), 0.3)
        ),
    )
    truth = replace(wide, scan=replace(wide.scan, oscillation_deg=(35.0, 0.2)))
    spots = spots_of(truth, 2.0)
    assert len(spots) > 30
    result = refine(
        truth,
        spots,
        parameterisation__treat_single_image_as_still=True,
        parameterisation__detector__fix="all",
        parameterisation__beam__fix=("all",),
    )
    assert result.rmsd_px[0, :2].max() < 0.1
    assert result.rmsd_px[0, 2] < 0.1  # degrees: half the width of the image, over sqrt(3)
    assert result.experiments[0].crystal.cell == pytest.approx(truth.crystal.cell, rel=3e-3)


def two_crystals() -> tuple[Experiments, ReflectionTable]:
    first = rotation_experiment(60)
    tilt = rotation_matrix(np.array([0.0, 0.6, 0.8]), 0.4)
    second = replace(
        first,
        crystal=Crystal.from_cell((58.4, 58.4, 41.3, 90, 90, 90), tilt @ first.crystal.U, "P 4"),
        identifier="second",
    )
    tables = [noisy(spots_of(first, 4.0), seed=1), noisy(spots_of(second, 4.0, index=1), seed=2)]
    return Experiments([first, second]), ReflectionTable.concatenate(tables)


def test_two_crystals_share_beam_and_detector() -> None:
    experiments, table = two_crystals()
    result = refine(experiments, table)
    assert result.experiments[0].detector is result.experiments[1].detector
    assert result.experiments[1].crystal.cell[:3] == pytest.approx([58.4, 58.4, 41.3], rel=6e-4)
    assert (result.n_reflections > 100).all()


def test_constraints_share_parameters() -> None:
    experiments, table = two_crystals()
    settings = plain_settings(parameterisation__crystal__unit_cell__constraints=[{"parameter": "G"}])
    result = CentroidRefiner(None, make_context()).refine(experiments, table, settings, False, "refinement")
    a, b = (e.crystal.cell for e in result.experiments)
    assert a == pytest.approx(b)
    assert not any(n.startswith("Crystal2G") for n in result.parameter_names)
    settings = plain_settings(parameterisation__crystal__unit_cell__constraints=[{"parameter": "Nonsense"}])
    with pytest.raises(RefinementError, match="ties nothing"):
        CentroidRefiner(None, make_context()).refine(experiments, table, settings, False, "refinement")


@pytest.mark.parametrize("target", ["mean", "low_memory_mean", "median"])
def test_group_restraints_pull_cells_together(target: str) -> None:
    experiments, table = two_crystals()
    tie = {"sigmas": (1e-4,) * 3 + (0.0,) * 3, "target": target}
    settings = plain_settings(parameterisation__crystal__unit_cell__restraints__tie_to_group=[tie])
    result = CentroidRefiner(None, make_context()).refine(experiments, table, settings, False, "refinement")
    cells = np.array([e.crystal.cell for e in result.experiments])
    assert np.abs(np.diff(cells, axis=0)).max() < 0.02  # 0.4 angstrom apart without


def test_target_restraint_pulls_the_cell() -> None:
    truth = rotation_experiment(60)
    tie = {"values": (58.2, 58.2, 41.1, 90.0, 90.0, 90.0), "sigmas": (1e-5,) * 3 + (0.0,) * 3}
    settings = plain_settings(parameterisation__crystal__unit_cell__restraints__tie_to_target=[tie])
    result = CentroidRefiner(None, make_context()).refine(
        Experiments([truth]), noisy(spots_of(truth, 4.0)), settings, False, "refinement"
    )
    assert result.experiments[0].crystal.cell[:3] == pytest.approx([58.2, 58.2, 41.1], abs=1e-3)


def quartered() -> Experiment:
    """The experiment with its panel cut into four, in two groups."""
    experiment = rotation_experiment(40)
    panel = experiment.detector[0]
    parts = []
    for k in range(4):
        origin = panel.origin + (k % 2) * 60.4 * panel.fast_axis + (k // 2) * 60.2 * panel.slow_axis
        parts.append(replace(panel, origin=origin, image_size=(298, 299), name=f"p{k}"))
    identity = {"fast_axis": [1, 0, 0], "slow_axis": [0, 1, 0], "origin": [0, 0, 0]}
    pairs = ([{"panel": 0}, {"panel": 1}], [{"panel": 2}, {"panel": 3}])
    groups = [{**identity, "children": pair} for pair in pairs]
    tree = {"fast_axis": [1, 0, 0], "slow_axis": [0, -1, 0], "origin": [0, 0, -110.0], "children": groups}
    return replace(experiment, detector=Detector(parts, tree))


def only_detector(experiment: Experiment, spots: ReflectionTable, **changes: Any) -> RefinementResult:
    return refine(
        experiment,
        spots,
        parameterisation__crystal__fix="all",
        parameterisation__beam__fix=("all",),
        **{f"parameterisation__detector__{name}": value for name, value in changes.items()},
    )


@pytest.mark.parametrize(
    ("panels", "level"), [("hierarchical", 0), ("hierarchical", 1), ("multiple", 0), ("automatic", 0)]
)
def test_groups_of_panels_move_rigidly(panels: str, level: int, tmp_path: Path) -> None:
    truth = quartered()
    moved = rotation_matrix(np.array([0.6, 0.8, 0.0]), 0.002) @ truth.detector.d
    moved[:, :, 2] += [0.2, -0.3, 0.4]
    start = replace(truth, detector=truth.detector.with_frames(moved))
    result = only_detector(start, spots_of(truth, 3.0), panels=panels, hierarchy_level=level)
    assert len(result.parameter_names) == (12 if level else 6)
    assert result.rmsd_px.max() < 1e-5
    detector = result.experiments[0].detector
    assert detector.d == pytest.approx(truth.detector.d, abs=2e-5)
    write_experiments(result.experiments, tmp_path / "refined.expt")
    assert read_experiments(tmp_path / "refined.expt")[0].detector.d == pytest.approx(detector.d, abs=1e-9)


def test_the_frame_of_a_group_moves_with_its_panels() -> None:
    truth = quartered()
    moved = truth.detector.d.copy()
    moved[:, :, 2] += [0.0, 0.0, 0.5]
    start = replace(truth, detector=truth.detector.with_frames(moved))
    root = only_detector(start, spots_of(truth, 3.0)).experiments[0].detector.hierarchy
    assert np.asarray(root["origin"]) == pytest.approx([0.0, 0.0, -110.5], abs=1e-4)  # the panels went back by 0.5


def test_too_few_reflections_are_said_or_mended() -> None:
    truth = rotation_experiment(60)
    spots = spots_of(truth, 4.0)
    few = spots.select(np.sort(np.random.default_rng(0).choice(len(spots), 4, replace=False)))
    with pytest.raises(RefinementError, match="fewer than 5 reflections determine"):
        refine(truth, few)
    with pytest.raises(RefinementError, match="determined by too few"):
        refine(truth, few, parameterisation__auto_reduction__action="fix")
    with pytest.raises(RefinementError, match="choose fix"):
        refine(truth, few, parameterisation__auto_reduction__action="remove")


def test_remove_drops_the_crystal_with_too_few_reflections() -> None:
    experiments, table = two_crystals()
    keep = (table["id"] == 0) | (np.cumsum(table["id"] == 1) <= 3)
    result = refine(experiments, table.select(keep), parameterisation__auto_reduction__action="remove")
    assert result.n_reflections[1] == 0
    assert not any(n.startswith("Crystal2") for n in result.parameter_names)
    assert result.experiments[1].crystal is experiments[1].crystal


def test_wavelength_cannot_be_refined_with_cell_and_distance() -> None:
    truth = rotation_experiment(40)
    result = refine(truth, noisy(spots_of(truth, 3.5)), parameterisation__beam__fix=("in_spindle_plane",))
    # The common scale of wavelength and cell is free: its combination stays where it was, within chance.
    scale = (
        result.experiments[0].crystal.cell[0]
        / truth.crystal.cell[0]
        * truth.beam.wavelength
        / result.experiments[0].beam.wavelength
    )
    assert scale == pytest.approx(1.0, abs=5e-3)


def test_a_wrong_detector_choice_is_said() -> None:
    truth = rotation_experiment(20)
    double = replace(truth, detector=Detector((truth.detector[0], truth.detector[0])))
    with pytest.raises(RefinementError, match="choose multiple or hierarchical"):
        refine(double, spots_of(truth, 4.0), parameterisation__detector__panels="single")


def test_missing_column_and_missing_experiment_are_said() -> None:
    truth = rotation_experiment(20)
    spots = spots_of(truth, 4.0)
    with pytest.raises(RefinementError, match="miller_index"):
        refine(truth, spots.without("miller_index"))
    spots["id"] = np.full(len(spots), 3)
    with pytest.raises(RefinementError, match="only 1 experiments"):
        refine(truth, spots)
