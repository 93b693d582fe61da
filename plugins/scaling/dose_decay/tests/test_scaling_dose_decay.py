"""Decay in proportion to dose, shared by crystals."""

from __future__ import annotations

import numpy as np
import pytest

import spindle
from spindle.models import Experiments
from spindle.table import Flag, ReflectionTable
from spindle.testing.scaling import simulated_scan


def crystals(rate, power, n=3, images=60):
    """Scans of crystals whose intensities fall by exp(-rate x / d^power), x in degrees, with scales and B factors of their own."""
    experiments, tables, truth = [], [], []
    for k in range(n):

        def scale(z, d, k=k):
            return (1 + 0.4 * k + 0.1 * np.sin(z / 15)) * np.exp(-rate * z / d**power + 1.5 * k / (2 * d**2))

        experiment, table, true = simulated_scan(n_unique=500, multiplicity=6, n_images=images, scale=scale, seed=k)
        table["id"] = np.full(len(table), k)
        experiments.append(experiment)
        tables.append(table)
        truth.append(true["scale"])
    # one crystal form: the same unique reflections and intensities
    return experiments, tables, truth


@pytest.mark.parametrize(("dependence", "rate", "power"), [("quadratic", 0.1, 2), ("linear", 0.03, 1)])
def test_the_decay_of_a_crystal_is_found(dependence, rate, power):
    (experiment, *_), (table, *_), (truth, *_) = crystals(rate, power, n=1)
    result = spindle.run(
        "scale", Experiments([experiment]), table, model="dose_decay", dose_decay__resolution_dependence=dependence
    )
    model = result.experiments[0].scaling_model
    assert model["decay"]["parameters"][0] == pytest.approx(-rate, rel=0.1)
    assert "relative_B" not in model
    good = result.reflections.has_flags(Flag.SCALED)
    ratio = np.log(result.reflections["inverse_scale_factor"][good] / truth[good])
    assert np.std(ratio) < 0.03


def test_crystals_share_their_decay_and_have_b_factors_of_their_own():
    experiments, tables, truth = [], [], []
    base = simulated_scan(n_unique=600, multiplicity=6, n_images=60, seed=5)
    for k in range(2):
        experiment, table, true = simulated_scan(n_unique=600, multiplicity=6, n_images=60, seed=5 + 0 * k)
        rng = np.random.default_rng(20 + k)
        z = rng.uniform(0, 60, len(table))
        for column in ("xyzcal.px", "xyzobs.px.value"):
            table[column][:, 2] = z
        g = (1 + 0.5 * k) * np.exp(-0.1 * z / table["d"] ** 2 + 2.0 * k / table["d"] ** 2)
        value = true["intensity"] * g
        sigma = np.sqrt(value + 25.0)
        for kind in ("prf", "sum"):
            table[f"intensity.{kind}.value"] = value + rng.normal(size=len(value)) * sigma
            table[f"intensity.{kind}.variance"] = sigma**2
        table["id"] = np.full(len(table), k)
        experiments.append(experiment)
        tables.append(table)
        truth.append(g)
    assert len(base[1]) == len(tables[0])
    whole = ReflectionTable({name: np.concatenate([t[name] for t in tables]) for name in tables[0]})
    result = spindle.run("scale", Experiments(experiments), whole, model="dose_decay")
    first, second = (e.scaling_model for e in result.experiments)
    assert first["decay"]["parameters"] == second["decay"]["parameters"]
    assert first["decay"]["parameters"][0] == pytest.approx(-0.1, rel=0.1)
    difference = second["relative_B"]["parameters"][0] - first["relative_B"]["parameters"][0]
    assert difference == pytest.approx(4.0, abs=0.5)
    assert first["configuration_parameters"]["shared"] == ["decay"]
