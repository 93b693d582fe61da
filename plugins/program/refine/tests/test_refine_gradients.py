"""Analytic derivatives of every parameterisation against central differences."""

from __future__ import annotations

from typing import Any

import gemmi
import numpy as np
import pytest
from spindle_refiner_centroid.parameterisations import (
    BeamParameters,
    CellParameters,
    GoniometerParameters,
    OrientationParameters,
    PanelGroupParameters,
    metric_constraints,
)
from spindle_refiner_centroid.problem import Problem
from spindle_refiner_centroid.restraints import cell_and_gradient
from spindle_refiner_centroid.target import Observations, Target

from spindle.geometry import rotation_matrix
from spindle.models import Beam, Crystal, Detector, Experiment, Experiments, Goniometer
from spindle.models.crystal import cell_from_real_space
from spindle.symmetry import symmetrise_cell
from spindle.testing.refiner import rotation_experiment, spots_of
from spindle_lib_refinement.testing import plain_settings

RNG = np.random.default_rng(5)
TILTED = Goniometer(
    rotation_axis=np.array([1.0, 0.0, 0.0]),
    fixed_rotation=rotation_matrix(np.array([0.0, 0.0, 1.0]), 0.3),
    setting_rotation=rotation_matrix(np.array([0.0, 0.6, 0.8]), 0.2),
)


def _models() -> list[Any]:
    experiment = rotation_experiment()
    crystal = Crystal.from_cell((30.0, 41.0, 52.0, 81.0, 95.0, 101.0), rotation_matrix(np.array([0.0, 0.6, 0.8]), 0.9))
    d = np.stack([experiment.detector[0].d, rotation_matrix(np.array([0.0, 1.0, 0.0]), 0.1) @ experiment.detector[0].d])
    panel = experiment.detector[0]
    frame = np.array([panel.fast_axis, panel.slow_axis, panel.normal])
    beam = Beam(direction=np.array([0.02, -0.01, 1.0]), wavelength=1.1)
    return [
        OrientationParameters(crystal),
        CellParameters(crystal),
        BeamParameters(beam, TILTED),
        BeamParameters(beam, None),
        GoniometerParameters(TILTED, beam),
        PanelGroupParameters(d, frame, np.array([3.0, -2.0, -108.0])),
    ]


@pytest.mark.parametrize("number", range(6))
def test_state_derivatives(number: int) -> None:
    model = _models()[number]
    values = (
        np.asarray(model.initial)
        + RNG.normal(size=len(model.initial)) * 1e-2 * np.maximum(np.abs(model.initial), 100) ** 0.5
    )
    _, derivative = model.compose(values[None])
    axis = 2 if isinstance(model, PanelGroupParameters) else 1
    for k in range(len(values)):
        step = np.zeros(len(values))
        step[k] = 1e-3 * max(abs(values[k]), 1.0) * 1e-1
        plus, _ = model.compose((values + step)[None])
        minus, _ = model.compose((values - step)[None])
        numeric = (plus - minus) / (2 * step[k])
        analytic = np.take(derivative, k, axis=axis)
        assert analytic == pytest.approx(numeric, rel=1e-6, abs=1e-6 * np.abs(numeric).max() + 1e-15)


@pytest.mark.parametrize(
    ("symbol", "free"),
    [
        ("P 1", 6),
        ("P 1 2 1", 4),
        ("P 1 1 2", 4),
        ("P 2 2 2", 3),
        ("P 4", 2),
        ("P 3", 2),
        ("R 3 :R", 2),
        ("R 3 :H", 2),
        ("P 6", 2),
        ("P 2 3", 1),
        ("F 2 3", 1),
    ],
)
def test_symmetry_leaves_as_many_cell_parameters_as_the_lattice_has(symbol: str, free: int) -> None:
    E, chosen = metric_constraints(Crystal.from_cell((10, 10, 10, 90, 90, 90), None, symbol).hall)
    assert E.shape == (6, free)
    assert np.array_equal(E[list(chosen)], np.eye(free))


def test_hexagonal_cell_follows_from_two_elements() -> None:
    crystal = Crystal.from_cell((12.0, 12.0, 20.0, 90, 90, 120), None, "P 3 2 1")
    parameters = CellParameters(crystal)
    B, _ = parameters.compose(parameters.initial[None])
    assert cell_from_real_space(np.linalg.inv(B[0])) == pytest.approx(crystal.cell)


def test_cell_derivatives() -> None:
    crystal = Crystal.from_cell((30.0, 41.0, 52.0, 81.0, 95.0, 101.0))
    parameters = CellParameters(crystal)
    B, dB = parameters.compose(parameters.initial[None])
    cell, gradient = cell_and_gradient(B[0], dB[0])
    assert cell == pytest.approx(crystal.cell)
    for k in range(6):
        step = np.zeros(6)
        step[k] = 1e-4 * parameters.initial.max()
        plus = cell_from_real_space(np.linalg.inv(parameters.compose((parameters.initial + step)[None])[0][0]))
        minus = cell_from_real_space(np.linalg.inv(parameters.compose((parameters.initial - step)[None])[0][0]))
        assert gradient[k] == pytest.approx((plus - minus) / (2 * step[k]), rel=1e-5, abs=1e-9)


def _observations(experiment: Experiment, stills: bool = False) -> Observations:
    table = spots_of(experiment, d_min=4.0)
    n = len(table)
    px = table["xyzobs.px.value"]
    observed = np.column_stack(
        [experiment.detector.pixel_to_mm(table["panel"], px[:, :2]), experiment.scan.angle_from_array_index(px[:, 2])]
    )
    if stills:
        observed[:, 2] = 0.0
    observed[:, :2] += RNG.normal(size=(n, 2)) * 0.05
    weights = np.tile([100.0, 120.0, 5e4], (n, 1)) * RNG.uniform(0.5, 1.5, (n, 1))
    return Observations(
        np.arange(n),
        np.ascontiguousarray(table["miller_index"], dtype=np.float64),
        table["entering"].copy(),
        np.zeros(n, dtype=np.int64),
        table["panel"].astype(np.int64),
        px[:, 2].copy(),
        observed,
        weights,
    )


def _check(problem: Problem, observations: Observations, scale: float = 1.0, of_normal_matrix: float = 2e-5) -> None:
    """Gradient of the objective against differences, and the normal matrix against J^T W J from differences of
    residuals.
    """
    target = Target(problem, observations, block_size=500)
    x = problem.x0 + RNG.normal(size=problem.n_parameters) * 0.05 * scale
    here = target.evaluate(x)
    J = np.zeros((problem.n_parameters, *here.residuals.shape))
    for k in range(problem.n_parameters):
        step = np.zeros(len(x))
        step[k] = 1e-4 * max(abs(x[k]) * 1e-2, 1.0)
        J[k] = (target.evaluate(x + step, False).residuals - target.evaluate(x - step, False).residuals) / (2 * step[k])
    J[:, ~here.predicted] = 0.0
    g = np.einsum("knd,nd,nd->k", J, observations.weights, here.residuals)
    N = np.einsum("knd,nd,lnd->kl", J, observations.weights, J)
    curvature = np.sqrt(np.diag(N))
    assert here.g == pytest.approx(g, abs=2e-5 * np.abs(g).max())
    assert here.N / np.outer(curvature, curvature) == pytest.approx(
        N / np.outer(curvature, curvature), abs=of_normal_matrix
    )


def _tilted_experiment() -> Experiment:
    experiment = rotation_experiment(30)
    return Experiment(experiment.beam, experiment.detector, TILTED, experiment.scan, experiment.crystal)


ALL_FREE = {"parameterisation__beam__fix": (), "parameterisation__goniometer__fix": ()}


def test_normal_equations_of_a_static_scan() -> None:
    experiment = _tilted_experiment()
    crystal = Crystal.from_cell((57.0, 59.0, 41.0, 89.0, 91.0, 92.0), experiment.crystal.U)
    experiment = Experiment(experiment.beam, experiment.detector, TILTED, experiment.scan, crystal)
    problem = Problem(Experiments([experiment]), plain_settings(**ALL_FREE), False, False)
    assert problem.n_parameters == 3 + 6 + 3 + 2 + 6
    _check(problem, _observations(experiment))


def test_normal_equations_of_a_varying_scan() -> None:
    experiment = _tilted_experiment()
    changes = {
        f"parameterisation__{scope}__smoother__interval_width_degrees": 8.0
        for scope in ("beam", "goniometer", "detector", "crystal__orientation", "crystal__unit_cell")
    }
    for scope in ("beam", "goniometer", "detector"):
        changes[f"parameterisation__{scope}__force_static"] = False
    problem = Problem(Experiments([experiment]), plain_settings(**ALL_FREE, **changes), True, False)
    assert problem.n_parameters == 5 * (3 + 2 + 3 + 2 + 6)
    # Within a block of images the derivatives are those of its middle.
    _check(problem, _observations(experiment), of_normal_matrix=1e-3)


def test_normal_equations_of_groups_of_panels() -> None:
    experiment = rotation_experiment(20)
    panel = experiment.detector[0]
    halves = []
    for k in range(4):
        origin = panel.origin + (k % 2) * 61.0 * panel.fast_axis + (k // 2) * 60.5 * panel.slow_axis
        halves.append(type(panel)(panel.fast_axis, panel.slow_axis, origin, panel.pixel_size, (295, 290)))
    identity = {"fast_axis": [1, 0, 0], "slow_axis": [0, 1, 0], "origin": [0, 0, 0]}
    tree = {
        **identity,
        "origin": [0, 0, -110],
        "children": [
            {**identity, "children": [{"panel": 0}, {"panel": 1}]},
            {**identity, "children": [{"panel": 2}, {"panel": 3}]},
        ],
    }
    grouped = Experiment(
        experiment.beam, Detector(halves, tree), experiment.goniometer, experiment.scan, experiment.crystal
    )
    for level, n in ((0, 6), (1, 12)):
        settings = plain_settings(parameterisation__detector__hierarchy_level=level)
        problem = Problem(Experiments([grouped]), settings, False, False)
        assert problem.n_parameters == 3 + 2 + 1 + n
        _check(problem, _observations(grouped))


@pytest.mark.parametrize("spherical", [False, True])
def test_normal_equations_of_stills(spherical: bool) -> None:
    experiment = rotation_experiment(4)
    settings = plain_settings(parameterisation__beam__fix=(), parameterisation__spherical_relp_model=spherical)
    problem = Problem(Experiments([experiment]), settings, False, True)
    _check(problem, _observations(experiment, stills=True))


def test_cells_of_every_setting_have_the_free_parameters_of_their_system():
    """Also of settings whose Hall symbol reads as another group's name: P 4 2 2 and P 42, P 1 1 2 and P 1 2 1."""
    free = {
        "triclinic": 6,
        "monoclinic": 4,
        "orthorhombic": 3,
        "tetragonal": 2,
        "trigonal": 2,
        "hexagonal": 2,
        "cubic": 1,
    }
    for group in gemmi.spacegroup_table():
        cell = symmetrise_cell((31.0, 37.0, 43.0, 81.0, 97.0, 103.0), group)
        crystal = Crystal.from_cell(cell, space_group=group)
        E, chosen = metric_constraints(crystal.hall)
        assert len(chosen) == free[group.crystal_system_str()], group.xhm()
        G = crystal.A.T @ crystal.A
        g6 = G[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]
        np.testing.assert_allclose(E @ g6[list(chosen)], g6, atol=1e-12, err_msg=group.xhm())


def test_blocks_of_images_tell_no_more_than_single_moments() -> None:
    # A crystal that turns about the beam while it is rotated looks like another axis of rotation. Were crystals constant within blocks,
    # that would tell the two apart.
    experiment = rotation_experiment(60)
    observations, errors = _observations(experiment), []
    for width in (2.0, 0.1):
        changes = {"parameterisation__block_width": width, "parameterisation__crystal__fix": "cell"}
        problem = Problem(Experiments([experiment]), plain_settings(**changes), True, False, {"orientation": 20.0})
        covariance = np.linalg.inv(Target(problem, observations).evaluate(problem.x0).N)
        where = problem.names.index("Detector1Tau1")
        errors.append(np.sqrt(covariance[where, where]))
    assert errors[0] == pytest.approx(errors[1], rel=0.05)
