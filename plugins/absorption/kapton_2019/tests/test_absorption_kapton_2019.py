"""The tape as a box, against rays that are followed point by point."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from spindle_absorption_kapton_2019 import Kapton2019Absorption

from spindle.params import Assignment, build
from spindle.testing.absorption import AbsorptionContract
from spindle.testing.data import make_context
from spindle.testing.exporter import integrated_data

H, A, W, T, MU = 0.15, 7.0, 1.2, 0.4, 1.3


class TestKapton2019Absorption(AbsorptionContract):
    name = "kapton_2019"
    nothing: ClassVar = {"kapton_thickness_mm.value": 0.0}


def in_tape(points):
    """Whether points (mm) are in a box on the side of -x, turned by A about z."""
    c, s = np.cos(np.radians(A)), np.sin(np.radians(A))
    across, along = points @ [c, s, 0.0], points @ [-s, c, 0.0]
    return (across <= -H) & (across >= -H - T) & (np.abs(points[:, 2]) <= W) & (np.abs(along) <= 10 * W)


def test_ways_are_those_of_rays_followed_point_by_point():
    experiments, table = integrated_data()
    some = table.select(np.arange(0, len(table), 30))
    # also backwards and to the sides, where no detector is
    rng = np.random.default_rng(2)
    u = rng.normal(size=(len(some), 3))
    some["s1"] = np.where((np.arange(len(some)) % 2 == 0)[:, None], u, some["s1"])
    given = {
        "xtal_height_above_kapton_mm.value": H, "rotation_angle_deg.value": A, "kapton_half_width_mm.value": W,
        "kapton_thickness_mm.value": T, "attenuation": MU, "within_spot_sigmas": False,
    }  # fmt: skip
    params = build(Kapton2019Absorption.Params, [Assignment(k, v, "test") for k, v in given.items()])
    plugin = make_context().algorithm("absorption", "kapton_2019", params)
    found = plugin.absorption_factors(experiment=experiments[0], reflections=some, foreground=None)
    step = 0.0005
    t = np.arange(0.5 * step, 14.0, step)[:, None]
    directions = some["s1"] / np.linalg.norm(some["s1"], axis=1)[:, None]
    paths = np.array([step * np.count_nonzero(in_tape(t * u)) for u in directions])
    assert 0.2 < (paths > 0).mean() < 0.8 and paths.max() > 2 * T
    np.testing.assert_allclose(found.factor, np.exp(MU * paths), rtol=2 * MU * step)
