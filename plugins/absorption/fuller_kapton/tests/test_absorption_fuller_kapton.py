"""The tape of Fuller et al., against rays that are followed point by point."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
from spindle_absorption_fuller_kapton import FullerKaptonAbsorption

from spindle.params import Assignment, build
from spindle.testing.absorption import AbsorptionContract, whole_boxes
from spindle.testing.data import make_context
from spindle.testing.exporter import integrated_data

H, A, W, T, MU = 0.15, 7.0, 1.2, 0.4, 1.3
SHAPE = {
    "xtal_height_above_kapton_mm.value": H, "rotation_angle_deg.value": A, "kapton_half_width_mm.value": W,
    "kapton_thickness_mm.value": T, "attenuation": MU,
}  # fmt: skip


class TestFullerKaptonAbsorption(AbsorptionContract):
    name = "fuller_kapton"
    nothing: ClassVar = {"kapton_thickness_mm.value": 0.0}


@pytest.fixture(scope="module")
def data():
    """Every 30th reflection in boxes of 7 x 9 pixels."""
    experiments, table = integrated_data()
    table = table.select(np.arange(0, len(table), 30))
    xy = np.floor(table["xyzcal.px"]).astype(np.int32)
    table["bbox"] = np.stack([xy[:, 0] - 3, xy[:, 0] + 4, xy[:, 1] - 4, xy[:, 1] + 5, xy[:, 2], xy[:, 2] + 1], axis=1)
    return experiments[0], table


def factors(data, foreground=None, **changes):
    given = [Assignment(k, v, "test") for k, v in {**SHAPE, **changes}.items()]
    params = build(FullerKaptonAbsorption.Params, given)
    plugin = make_context().algorithm("absorption", "fuller_kapton", params)
    return plugin.absorption_factors(experiment=data[0], reflections=data[1], foreground=foreground)


def in_tape(points, beam):
    """Whether points (mm) are in a tape on the side of +x, turned by A about the reversed beam along z."""
    a = np.radians(A)
    away = points @ np.array([np.cos(a), np.sin(a), 0.0])
    return (away >= H) & (away <= H + T) & (points @ beam <= W)


def marched(directions, beam, step=0.0005, end=6.0):
    """Length of each ray inside the tape, from points along it."""
    t = np.arange(0.5 * step, end, step)
    return np.array([step * np.count_nonzero(in_tape(t[:, None] * u, beam)) for u in directions])


def unit(v):
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


def test_ways_are_those_of_rays_followed_point_by_point(data):
    beam = unit(data[0].beam.s0)
    found = factors(data, within_spot_sigmas=False)
    paths = marched(unit(data[1]["s1"]), beam)
    assert 0.2 < (paths > 0).mean() < 0.8 and paths.max() > T
    np.testing.assert_allclose(found.factor, np.exp(MU * paths), rtol=2 * MU * 0.0005)
    assert np.all(found.sigma == 0)


def test_factors_are_means_over_the_pixels_of_spots(data):
    experiment, table = data
    few = table.select(np.arange(0, len(table), 5))
    found = factors((experiment, few), whole_boxes(few))
    beam = unit(experiment.beam.s0)
    for i, (x0, x1, y0, y1, _, _) in enumerate(few["bbox"]):
        x, y = np.meshgrid(np.arange(x0, x1) + 0.5, np.arange(y0, y1) + 0.5)
        lab = experiment.detector.lab_coordinate_of_pixel(
            np.zeros(x.size, np.int64), np.stack([x.ravel(), y.ravel()], 1)
        )
        values = np.exp(MU * marched(unit(lab), beam, 0.002))
        assert found.factor[i] == pytest.approx(values.mean(), rel=2 * MU * 0.002)
        assert found.sigma[i] == pytest.approx(values.std(ddof=1), abs=2 * MU * 0.002 * values.max())
    assert found.sigma.max() > 0.03


def test_uncertainties_of_the_geometry_are_those_of_changed_geometries(data):
    sigmas = {
        "xtal_height_above_kapton_mm": 0.2,
        "rotation_angle_deg": 2.0,
        "kapton_half_width_mm": 0.3,
        "kapton_thickness_mm": 0.1,
    }
    given = {f"{k}.sigma": v for k, v in sigmas.items()}
    found = factors(data, smart_sigmas=True, within_spot_sigmas=False, **given)
    usual = factors(data, within_spot_sigmas=False).factor
    largest = np.zeros(len(usual))
    for name, sigma in sigmas.items():
        for sign in (-1, 1):
            value = max(SHAPE[f"{name}.value"] + sign * sigma, 0.001)  # 0.15 - 0.2 mm: the tape touches the crystal
            changed = factors(data, within_spot_sigmas=False, **{f"{name}.value": value}).factor
            largest = np.maximum(largest, np.abs(changed - usual))
    np.testing.assert_allclose(found.sigma, largest, rtol=1e-12)
    assert (largest > 0).mean() > 0.3


def test_the_coefficient_is_that_of_polyimide(data):
    """NIST: 1.611 cm^2/g at 12.8 keV (C .6911, H .0264, N .0733, O .2092 by mass), 1.42 g/cm^3."""
    from dataclasses import replace

    experiment = replace(data[0], beam=replace(data[0].beam, wavelength=12.39842 / 12.8))
    known = factors((experiment, data[1]), attenuation=0.2287).factor
    found = factors((experiment, data[1]), attenuation="Auto").factor
    np.testing.assert_allclose(np.log(found), np.log(known), rtol=1e-3, atol=1e-12)
