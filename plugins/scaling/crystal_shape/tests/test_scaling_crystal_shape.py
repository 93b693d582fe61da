"""Absorption by crystals of known shape: the contract of the slot, simulated data that were absorbed, bad shapes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import spindle
from spindle.contracts.scaling import DatasetInfo
from spindle.errors import ParameterError
from spindle.models import Crystal, Experiments, Goniometer
from spindle.params import make
from spindle.table import Flag
from spindle.testing import make_context
from spindle.testing.scaling import ScalingContract, scan_experiment, scan_observations, simulated_scan

PLATE = [(1, 0, 0, 0.03), (-1, 0, 0, 0.03), (0, 1, 0, 0.1), (0, -1, 0, 0.12), (0, 0, 1, 0.2), (0, 0, -1, 0.2)]
MU = 10.0


class TestCrystalShape(ScalingContract):
    name = "crystal_shape"
    takes_stills = False
    corrects = ("scale", "image", "resolution", "direction")
    budget_us = 60.0
    parameters = {
        "absorption_correction": True,
        "ellipsoid.half_axes": (0.1, 0.2, 0.3),
        "attenuation": 0.1,
    }
    inert = {
        "frame=goniometer": "axes of this crystal are those of the laboratory",
        "image_correction=False": "Auto wants more observations of an image than there are",
    }
    expected_failures = {"test_starts_without_effect": "the absorption of the crystal is known from the start"}


def turned(vectors, axis, phi):
    c, s = np.cos(phi)[:, None], np.sin(phi)[:, None]
    return c * vectors + s * np.cross(axis, vectors) + (1 - c) * (vectors @ axis)[:, None] * axis


def transmissions(experiment, table, n_points=400):
    """By rays from random points in the laboratory, whose box is turned: nothing of the library."""
    goniometer, scan = experiment.goniometer, experiment.scan
    phi = scan.angle_from_array_index(np.asarray(table["xyzcal.px"][:, 2]))
    axes = np.asarray(experiment.crystal.real_space) / 60.0  # the edges of a cubic cell
    beam = experiment.beam.s0 / np.linalg.norm(experiment.beam.s0)
    local = []
    for v in (np.broadcast_to(-beam, (len(phi), 3)), np.asarray(table["s1"], float)):
        v = v / np.linalg.norm(v, axis=1)[:, None]
        head = turned(v @ goniometer.setting_rotation, goniometer.rotation_axis, -phi) @ goniometer.fixed_rotation
        local.append(head @ axes.T)
    high, low = np.array([0.03, 0.1, 0.2]), -np.array([0.03, 0.12, 0.2])
    points = low + (high - low) * np.random.default_rng(9).uniform(size=(n_points, 3))
    total = np.zeros(len(phi))
    for p in points:
        path = sum(np.where(v > 0, (high - p) / v, (low - p) / v).min(axis=1) for v in local)
        total += np.exp(-MU * path)
    return total / n_points


def absorbed(experiment, table, truth, seed=0):
    """The observations of a scan through the plate; what is left of them is the scale."""
    scale = truth["scale"] * transmissions(experiment, table)
    expected = truth["intensity"] * scale * 3.0
    sigma = np.sqrt(expected + 25.0)
    table = table.copy()
    values = expected + sigma * np.random.default_rng(100 + seed).normal(size=len(expected))
    for kind in ("prf", "sum"):
        table[f"intensity.{kind}.value"], table[f"intensity.{kind}.variance"] = values, sigma**2
    return table, scale


def residual(table, scale):
    good = table.has_flags(Flag.SCALED)
    difference = np.log(table["inverse_scale_factor"][good] / scale[good])
    return float((difference - difference.mean()).std())


def mounted(seed, axis, setting=None):
    """A crystal on a goniometer with an axis turned beforehand."""
    experiment, table, truth = simulated_scan(
        n_unique=400, multiplicity=6, n_images=60, seed=3, scale=lambda z, d: 1 + 0.1 * np.sin(z / 15 + seed)
    )
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    crystal = Crystal.from_cell((60.0, 60.0, 60.0, 90.0, 90.0, 90.0), turn, "P 4 3 2")
    angle = 0.9 * seed
    fixed = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1.0]])
    goniometer = Goniometer(np.asarray(axis, float), fixed_rotation=fixed)
    return replace(experiment, goniometer=goniometer, crystal=crystal), table, truth


@pytest.mark.long
def test_what_a_thick_plate_absorbs_is_taken_out_of_sweeps_in_several_settings():
    experiments, tables, scales = [], [], []
    for seed, axis in enumerate([(1, 0, 0), (0, 0.6, 0.8)]):
        experiment, table, truth = mounted(seed, axis)
        table, scale = absorbed(experiment, table, truth, seed)
        experiments.append(experiment)
        tables.append(table)
        scales.append(scale)
    options = {"crystal_shape.face": PLATE, "crystal_shape.attenuation": MU}
    known = spindle.run("scale", Experiments(experiments), tables, model="crystal_shape", **options)
    guessed = spindle.run("scale", Experiments(experiments), tables, model="physical")
    scale = np.concatenate(scales)
    assert np.log(scale).std() > 0.3
    assert residual(known.reflections, scale) < 0.015
    assert residual(guessed.reflections, scale) > 4 * residual(known.reflections, scale)
    settings = known.experiments[1].scaling_model["configuration_parameters"]
    assert settings["corrections"][-1] == "shape" and settings["attenuation"] == MU
    assert 0 < settings["transmission_range"][0] < settings["transmission_mean"] < settings["transmission_range"][1] < 1


def build(experiment, observations, peers=(), **words):
    words = {"attenuation": MU, **words}
    context = make_context()
    params = make(context.host.load("scaling", "crystal_shape").Params, **words)
    plugin = context.algorithm("scaling", "crystal_shape", params)
    return plugin.build_scaling_model(experiment, observations, None, list(peers))


def shape_of(model):
    term = next(t for t in model.terms if t.name == "shape")
    return term.values(term.parameters) * model.configuration["transmission_mean"]


def test_faces_may_be_given_in_another_setting_or_as_directions():
    experiment = scan_experiment(40)
    observations = scan_observations(experiment, 200)
    usual = shape_of(build(experiment, observations, face=PLATE))
    cyclic = [(k, l, h, d) for h, k, l, d in PLATE]  # indices of a cell b, c, a
    np.testing.assert_allclose(
        shape_of(build(experiment, observations, face=cyclic, change_of_basis_op="c,a,b")), usual, rtol=1e-9
    )
    assert np.abs(shape_of(build(experiment, observations, face=cyclic)) / usual - 1).max() > 0.05
    normals = [(*(np.asarray(experiment.crystal.A) @ f[:3] * 60), f[3]) for f in PLATE]
    np.testing.assert_allclose(
        shape_of(build(experiment, observations, face=normals, frame="goniometer")), usual, rtol=1e-9
    )


def test_an_ellipsoid_may_be_turned():
    experiment = scan_experiment(40)
    observations = scan_observations(experiment, 100)
    usual = shape_of(build(experiment, observations, ellipsoid__half_axes=(0.1, 0.2, 0.3)))
    swapped = {"ellipsoid__first_axis": (0, 1, 0), "ellipsoid__second_axis": (1, 0, 0)}
    again = shape_of(build(experiment, observations, ellipsoid__half_axes=(0.2, 0.1, 0.3), **swapped))
    np.testing.assert_allclose(again, usual, rtol=1e-3)


def test_the_coefficient_follows_from_what_the_crystal_is_made_of():
    """Quartz at 0.7107 A: by NIST's values at 15 and 20 keV (Si 10.34, 4.464; O 1.836, 0.8651 cm^2/g) 3.77 cm^2/g; three SiO2 in 113.0 A^3
    are 2.65 g/cm^3, so that mu = 1.00 / mm."""
    experiment = scan_experiment(20)
    experiment = replace(
        experiment, crystal=Crystal.from_cell((4.913, 4.913, 5.405, 90, 90, 120), np.eye(3), "P 32 2 1"),
        beam=replace(experiment.beam, wavelength=0.7107),
    )  # fmt: skip
    observations = scan_observations(experiment, 20)
    words = {"attenuation": None, "formula": "SiO2", "ellipsoid__half_axes": (0.1, 0.1, 0.1)}
    by_cell = build(experiment, observations, formula_units=3, **words).configuration["attenuation"]
    by_density = build(experiment, observations, density=2.65, **words).configuration["attenuation"]
    assert by_cell == pytest.approx(by_density, rel=5e-3)
    assert by_cell == pytest.approx(1.00, rel=0.01)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({}, "needs the shape of the crystal"),
        ({"face": PLATE, "ellipsoid__half_axes": (1, 1, 1)}, "not both"),
        ({"face": PLATE[:5]}, "no end in some direction"),
        ({"face": PLATE, "attenuation": None}, "needs what the crystal absorbs"),
        ({"face": PLATE, "formula": "H2O"}, "not both"),
        ({"face": PLATE, "attenuation": None, "formula": "H2O"}, "one of them"),
        ({"face": PLATE, "attenuation": None, "formula": "H2O", "density": 1.0, "formula_units": 2}, "one of them"),
        ({"face": PLATE, "attenuation": None, "formula": "Xy2", "density": 1.0}, "no attenuation is known of Xy"),
        (
            {"ellipsoid__half_axes": (1, 1, 1), "ellipsoid__first_axis": (0, 1, 0)},
            "second_axis has no direction across",
        ),
        ({"face": PLATE, "correction__fix": "shape"}, "is none of scale, decay, absorption"),
    ],
)
def test_shapes_that_are_none_are_refused(words, says):
    experiment = scan_experiment(20)
    with pytest.raises(ParameterError, match=says):
        build(experiment, scan_observations(experiment, 20), **words)


def test_indices_of_faces_are_refused_where_data_sets_are_indexed_in_equivalent_ways():
    experiment = scan_experiment(20)
    observations = scan_observations(experiment, 50)
    a = np.asarray(experiment.crystal.A) @ np.array([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]])
    other = replace(experiment, crystal=replace(experiment.crystal, A=a))
    peers = [DatasetInfo(other, 50)]
    with pytest.raises(ParameterError, match=r"frame=goniometer; .*crystal_shape.face=1.0000,0.0000,0.0000,0.03"):
        build(experiment, observations, peers, face=PLATE)
    cube = [(h, k, l, 0.1) for h, k, l, _ in PLATE]
    assert len(shape_of(build(experiment, observations, peers, face=cube))) == 50
    assert len(shape_of(build(experiment, observations, peers, face=PLATE, frame="goniometer"))) == 50
