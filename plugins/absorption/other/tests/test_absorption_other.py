"""Plates, against rays that are followed point by point through plates that were turned as points are."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
from spindle_absorption_other import OtherAbsorption

from spindle.errors import SpindleError
from spindle.params import Assignment, build
from spindle.testing.absorption import AbsorptionContract
from spindle.testing.data import make_context
from spindle.testing.exporter import integrated_data

NORMAL, MU, T, GAP = np.array([0.1, 0.3, 1.0]), 1.7, 0.3, 0.5


class TestOtherAbsorption(AbsorptionContract):
    name = "other"
    nothing: ClassVar = {"thickness": 0.0}


@pytest.fixture(scope="module")
def data():
    experiments, table = integrated_data()
    return experiments[0], table.select(np.arange(0, len(table), 40))


def factors(data, **changes):
    usual = {"normal": "0.1,0.3,1", "attenuation": MU, "thickness": T}
    given = [Assignment(k, v, "test") for k, v in {**usual, **changes}.items()]
    plugin = make_context().algorithm("absorption", "other", build(OtherAbsorption.Params, given))
    return plugin.absorption_factors(experiment=data[0], reflections=data[1])


@pytest.mark.parametrize("sides", ["both", "one"])
@pytest.mark.parametrize("turns", [True, False])
def test_ways_are_those_of_rays_followed_point_by_point(data, sides, turns):
    experiment, table = data
    found = factors(data, sides=sides, turns=turns)
    step = 0.001
    t = np.arange(0.5 * step, 8.0, step)[:, None]
    unit_normal = NORMAL / np.linalg.norm(NORMAL)
    beam = experiment.beam.s0 / np.linalg.norm(experiment.beam.s0)
    for i in range(len(table)):
        back = experiment.goniometer.rotation(table["xyzcal.mm"][i, 2]).T if turns else np.eye(3)
        out = table["s1"][i] / np.linalg.norm(table["s1"][i])

        def inside(points, back=back):
            away = points @ back.T @ unit_normal
            away = np.abs(away) if sides == "both" else away
            return np.count_nonzero((away >= GAP) & (away <= GAP + T))

        if min(abs(out @ back.T @ unit_normal), abs(beam @ back.T @ unit_normal)) < 0.15:
            continue  # points end before such rays do
        path = step * (inside(-t * beam) + inside(t * out))
        assert np.log(found.factor[i]) / MU == pytest.approx(path, abs=2.1 * step)


def test_coefficients_are_those_of_the_table_for_diamond(data):
    """1.3396 cm^2/g at 1 A (NIST), 3.51 g/cm^3."""
    found, known = factors(data, material="C", density=3.51, attenuation="Auto"), factors(data, attenuation=0.47020)
    np.testing.assert_allclose(np.log(found.factor), np.log(known.factor), rtol=2e-4)


def test_an_uncertain_thickness_is_an_uncertain_factor(data):
    found = factors(data, thickness_sigma=0.01)
    thicker = factors(data, thickness=T + 1e-6).factor
    np.testing.assert_allclose(found.sigma, (thicker - found.factor) / 1e-6 * 0.01, rtol=1e-3)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"normal": "0,0,0"}, "has a direction"),
        ({"material": "Al2(SO4)3", "attenuation": "Auto"}, "is no formula"),
        ({"material": "UO2", "attenuation": "Auto"}, "no attenuation is known of U"),
        ({"thickness": 1e6}, "let nothing through"),
    ],
)
def test_what_cannot_be_is_refused(data, changes, text):
    with pytest.raises(SpindleError, match=text):
        factors(data, **changes)
