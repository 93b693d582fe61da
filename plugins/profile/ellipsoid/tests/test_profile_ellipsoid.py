"""Ellipsoids against points that are drawn at random: which of them are on the Ewald sphere, and where."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from spindle_profile_ellipsoid.algorithm import EllipsoidProfile
from spindle_profile_ellipsoid.geometry import Model, points_of
from spindle_profile_ellipsoid.likelihood import Spots, beam_share, fit_model, log_likelihood
from spindle_profile_ellipsoid.models import model_of, written
from spindle_profile_ellipsoid.mosaicity import MODELS

from spindle.errors import ModelError, UserError
from spindle.files import read_experiments
from spindle.models import Experiment, Experiments
from spindle.table import ReflectionTable
from spindle.testing.profile import rotation_experiment

SHARED = Path(__file__).resolve().parents[5] / "shared" / "data"
CUNIR = SHARED / "dials_processed" / "ssx_CuNiR_test_data" / "integrated.expt"

TRUE = {
    "simple1": [8e-4],
    "simple6": [8e-4, 2e-4, 6e-4, -1e-4, 1e-4, 9e-4],
    "angular2": [1.1e-3, 5e-4],
    "angular4": [1.1e-3, 2e-4, 7e-4, 5e-4],
    "simple1angular1": [4e-4, 2.5e-3],
    "simple1angular3": [4e-4, 2.5e-3, 4e-4, 1.8e-3],
    "simple6angular1": [5e-4, 1e-4, 4e-4, 0.0, 0.0, 6e-4, 2.5e-3],
    "simple6angular3": [5e-4, 1e-4, 4e-4, 0.0, 0.0, 6e-4, 2.5e-3, 4e-4, 1.8e-3],
}


def still(turn_deg: float = 10.0) -> Experiment:
    return replace(rotation_experiment(turn_deg=turn_deg), scan=None, goniometer=None)


def drawn(experiment: Experiment, model: Model, n: int, seed: int = 1, blur: float = 0.0):
    """Lattice points near the sphere; of each, how many of n points of its cloud are on a thin shell, and where these are seen."""
    rng = np.random.default_rng(seed)
    hkl = np.stack(np.meshgrid(*[np.arange(-24, 25)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    s0, k = experiment.beam.s0, 1 / experiment.beam.wavelength
    r = hkl @ experiment.crystal.A.T
    near = np.abs(np.linalg.norm(s0 + r, axis=1) - k) < 2.5e-3
    near &= (np.linalg.norm(r, axis=1) > 0.08) & (np.linalg.norm(r, axis=1) < 0.4)
    hkl, r = hkl[near], r[near]
    table = ReflectionTable({"miller_index": hkl.astype(np.int32), "s1": s0 + r, "xyzcal.px": np.zeros((len(hkl), 3))})
    points, w = points_of(experiment, table), model.widths
    counts, centres, shapes = np.zeros(len(hkl)), np.zeros((len(hkl), 2)), np.zeros((len(hkl), 2, 2))
    shell = 1e-4
    for i in range(len(hkl)):
        direction = r[i] / np.linalg.norm(r[i])
        first = np.cross(r[i], s0)
        first /= np.linalg.norm(first)
        second = np.cross(direction, -first)
        axes = np.stack([first, second / np.linalg.norm(second), direction])
        if np.dot(axes[1], np.cross(r[i], first)) < 0:
            axes[1] *= -1
        square = r[i] @ r[i]
        sigma = w.fixed + axes.T @ (w.turning * square + w.shaped) @ axes
        cloud = (
            s0 + r[i] + rng.multivariate_normal(np.zeros(3), sigma, n, method="cholesky" if w.fixed.any() else "svd")
        )
        length = np.linalg.norm(cloud, axis=1)
        on = np.abs(length - k) < shell
        counts[i] = np.count_nonzero(on)
        if counts[i] < 2:
            continue
        seen = cloud[on] / length[on, None] * k
        xy = seen @ points.frame[i, :2].T + blur * rng.standard_normal((int(counts[i]), 2))
        centres[i] = xy.mean(axis=0)
        shapes[i] = np.cov(xy.T, bias=True)
    return table, points, counts, centres, shapes, shell


@pytest.mark.parametrize("name", MODELS)
def test_gradients_are_those_of_differences(name):
    experiment, model = still(), Model(MODELS[name], np.array(TRUE[name]))
    _, points, counts, centres, shapes, _ = drawn(experiment, model, 40)
    good = counts > 2
    spots = Spots(points.select(good), counts[good], centres[good], shapes[good], np.zeros((good.sum(), 2, 2)))
    x = np.array([*TRUE[name], 4e-4]) * 1.2 + 1e-5
    _, gradient = log_likelihood(MODELS[name], x[:-1], x[-1], spots)
    step = 1e-8
    for k, slope in enumerate(gradient):
        moved = [x + step * sign * (np.arange(len(x)) == k) for sign in (1, -1)]
        up, down = (log_likelihood(MODELS[name], y[:-1], y[-1], spots)[0] for y in moved)
        assert (up - down) / (2 * step) == pytest.approx(slope, rel=1e-3, abs=1e-4 * np.abs(gradient).max())


@pytest.mark.parametrize("name", ["simple1", "simple6", "angular4", "simple1angular1", "simple6angular1"])
def test_the_distribution_that_points_were_drawn_from_is_found(name):
    experiment, model = still(), Model(MODELS[name], np.array(TRUE[name]))
    _, points, counts, centres, shapes, _ = drawn(experiment, model, 3000, blur=3e-4)
    good = counts > 2
    spots = Spots(points.select(good), counts[good], centres[good], shapes[good], np.zeros((good.sum(), 2, 2)))
    found, _ = fit_model(MODELS[name], spots, None, 300, 1e-3, 0.04)
    true, own = model.widths, found.widths
    length = np.median(np.linalg.norm(points.r, axis=1))
    for of_model, of_truth, unit in (
        (own.fixed, true.fixed, 1.0), (own.turning, true.turning, length), (own.shaped, true.shaped, 1.0),
    ):  # fmt: skip
        whole = np.trace(true.fixed + true.shaped) / 3 + np.trace(true.turning) * length**2 / 2
        assert np.abs((of_model - of_truth) * unit**2).max() < 0.15 * whole, f"{of_model} of {of_truth}"
    # what matters: how wide points are across the sphere, and along it
    ratio = np.sqrt(found.seen(points).normal / model.seen(points).normal)
    assert ratio.mean() == pytest.approx(1, abs=0.04) and ratio.std() < 0.06
    assert found.blur == pytest.approx(3e-4, abs=1.5e-4)


@pytest.mark.parametrize("name", ["simple1", "simple6", "simple1angular3"])
def test_partiality_and_lorentz_factor_are_the_density_on_the_sphere(name):
    experiment, model = still(), Model(MODELS[name], np.array(TRUE[name]))
    n = 20000
    table, points, counts, centres, _, shell = drawn(experiment, model, n)
    experiment = replace(experiment, profile={**written(model), "__id__": "ellipsoid"})
    plugin = EllipsoidProfile()
    table["id"] = np.zeros(len(table), np.int32)
    arguments = {"experiments": Experiments([experiment]), "reflections": table}
    partiality = plugin.partiality(**arguments, bbox=np.zeros((len(table), 6), np.int32))
    lorentz = plugin.still_lorentz(**arguments)
    # the normal density at its top is 1 / sqrt(2 pi v), and lorentz is proportional to 1 / sqrt v
    w = model.widths
    usual = np.trace(w.fixed + w.shaped) / 3 + np.trace(w.turning) / 2 / experiment.beam.wavelength**2
    expected = n * 2 * shell * partiality * lorentz / math.sqrt(2 * math.pi * usual)
    z = (counts - expected) / np.sqrt(np.maximum(expected, 1))
    assert counts.sum() == pytest.approx(expected.sum(), rel=0.02)
    assert np.sqrt(np.mean(z[expected > 5] ** 2)) < 1.2
    # and they are where the plugin says
    mean, spread = model.seen(points).mean, model.seen(points).covariance
    off = (centres - mean)[counts > 50] / np.sqrt(np.einsum("nii->ni", spread) / np.maximum(counts, 1)[:, None])[
        counts > 50
    ]
    assert np.sqrt(np.mean(off**2)) < 1.3


def test_turned_blocks_have_the_lorentz_factor_of_a_rotation():
    experiment = replace(still(), profile=written(Model(MODELS["simple1angular1"], np.array([1e-9, 2e-3]))))
    s0, k = experiment.beam.s0, 1 / experiment.beam.wavelength
    # points exactly on the sphere
    direction = np.random.default_rng(0).normal(size=(50, 3)) * 0.4 + s0 / k
    s1 = k * direction / np.linalg.norm(direction, axis=1)[:, None]
    r = s1 - s0
    crystal = replace(experiment.crystal)
    table = ReflectionTable({"id": np.zeros(50, np.int32), "miller_index": np.zeros((50, 3), np.int32), "s1": s1})
    table["xyzcal.px"] = np.zeros((50, 3))
    table["miller_index"] = np.rint(r @ np.linalg.inv(crystal.A).T).astype(np.int32)
    near = points_of(experiment, table)
    s2 = s0 + near.r
    sine = np.linalg.norm(np.cross(s2, s0), axis=1) / (np.linalg.norm(s2, axis=1) * k)
    factor = EllipsoidProfile().still_lorentz(Experiments([experiment]), table)
    np.testing.assert_allclose(factor * sine, 1.0, rtol=0.05)


def test_models_are_written_and_read_again():
    for name, values in TRUE.items():
        model = Model(MODELS[name], np.array(values), 2e-4, 0.12)
        again = model_of(json.loads(json.dumps(written(model))))
        assert again.mosaicity.name == name and again.blur == 2e-4 and again.beam_share == 0.12
        np.testing.assert_array_equal(again.parameters, model.parameters)


def turned_about(axis, angles):
    """(n, 3, 3) rotations about one axis."""
    x, y, z = axis
    k = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + np.sin(angles)[:, None, None] * k + (1.0 - np.cos(angles))[:, None, None] * (k @ k)


@pytest.mark.parametrize(("divergence", "mosaic"), [(0.5e-3, 1.4e-3), (0.0, 1.4e-3), (1e-3, 1e-3)])
def test_share_of_a_divergent_beam_is_that_of_traced_rays(divergence, mosaic):
    experiment, rng, n = still(), np.random.default_rng(7), 60_000
    s0, k = experiment.beam.s0, 1 / experiment.beam.wavelength
    hkl = np.stack(np.meshgrid(*[np.arange(-20, 21)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    r = hkl @ experiment.crystal.A.T
    points = points_of(
        experiment, ReflectionTable({"miller_index": hkl.astype(np.int32), "s1": s0 + r, "xyzcal.px": np.zeros((len(r), 3))})
    )  # fmt: skip
    length = np.linalg.norm(r, axis=1)
    near = np.flatnonzero((np.abs(points.turn) < 2 * mosaic * k) & (length > 0.1) & (length < 0.4))[:80]
    points = points.select(near)
    counts, centres = np.zeros(len(near)), np.zeros((len(near), 2))
    for i, row in enumerate(near):
        axis = points.frame[i, 0]
        beams = turned_about(axis, divergence * rng.standard_normal(n)) @ s0
        beams += turned_about(axis, mosaic * rng.standard_normal(n)) @ r[row]
        size = np.linalg.norm(beams, axis=1)
        on = np.abs(size - k) < 1e-4
        counts[i] = np.count_nonzero(on)
        if counts[i]:
            centres[i] = (beams[on] / size[on, None] * k @ points.frame[i, :2].T).mean(axis=0)
    good = counts > 50
    flat = np.zeros((int(good.sum()), 2, 2))
    spots = Spots(points.select(good), counts[good], centres[good], flat, flat)
    blocks = Model(MODELS["simple1angular1"], np.array([1e-7, np.hypot(divergence, mosaic)]))
    expected = divergence**2 / (divergence**2 + mosaic**2)
    found = beam_share(spots, blocks)
    assert found == pytest.approx(expected, abs=0.02)
    # and so the model says where spots are
    moved = replace(blocks, beam_share=found).seen(spots.points).mean
    assert np.abs((moved - spots.centre)[:, 1]).max() < 0.1 * mosaic * k


@pytest.mark.skipif(not CUNIR.exists(), reason="needs the processed stills of shared/data")
def test_models_of_dials_mean_the_same():
    for experiment in read_experiments(CUNIR):
        profile = experiment.profile
        if profile and profile.get("__id__") == "ellipsoid":
            w = model_of(profile).widths
            np.testing.assert_allclose(w.fixed + w.shaped, np.reshape(profile["sigma"], (3, 3)), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize(
    "change", [{"parameters": [1.0]}, {"parameters": None}, {"parameterisation": "sphere"}, {"blur": -1.0}, {"beam_share": 3.0}, {"parameters": [0.0] * 6}]
)  # fmt: skip
def test_damaged_models_are_refused(change):
    with pytest.raises(ModelError, match="create_profile_model=True"):
        model_of({**written(Model(MODELS["simple6"], np.array(TRUE["simple6"]))), **change})


def test_too_wide_models_are_a_fault():
    plugin = EllipsoidProfile()
    assert not plugin.describe_model(written(Model(MODELS["simple1"], np.array([1e-3])))).fault
    assert "mosaicity_max_limit" in plugin.describe_model(written(Model(MODELS["simple1"], np.array([5e-3])))).fault


def test_spots_without_pixels_are_refused():
    empty = ReflectionTable({"id": np.zeros(0, np.int32)})
    with pytest.raises(UserError, match="no shoeboxes"):
        EllipsoidProfile().estimate_profiles(Experiments([still()]), empty)
