"""Grids, and scales that only they follow."""

from __future__ import annotations

import numpy as np
import pytest
from spindle_scaling_array.grids import Axis, grid_smoothness, grid_weights

import spindle
from spindle.errors import ParameterError
from spindle.models import Experiments
from spindle.table import Flag
from spindle.testing.scaling import simulated_scan


def test_weights_of_a_grid_are_products_of_those_of_its_axes():
    axes = [Axis(0.0, 1.0, 4), Axis(-1.0, 2.0, 2), Axis(0.0, 0.5, 1)]
    rng = np.random.default_rng(0)
    places = [rng.uniform(0, 4, 30), rng.uniform(-1, 0, 30), rng.uniform(0, 2, 30)]
    indices, weights = grid_weights(axes, places)
    assert indices.shape == weights.shape == (30, 3 * 3 * 2)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    values = rng.normal(size=(6, 3, 2))  # points of each axis
    flat = values.transpose(2, 1, 0).ravel()
    expected = np.empty(30)
    for i in range(30):
        one = [np.bincount(*[v[0] for v in (axis.weights(x[i : i + 1]))], minlength=axis.n_values)
               for axis, x in zip(axes, places, strict=True)]  # fmt: skip
        expected[i] = np.einsum("ijk,i,j,k", values, *one)
    np.testing.assert_allclose((flat[indices] * weights).sum(axis=1), expected)


def test_smoothness_is_the_sum_of_squared_steps():
    values = np.random.default_rng(1).normal(size=(3, 4))  # slow, fast
    flat = values.ravel()
    expected = (np.diff(values, axis=0) ** 2).sum() + (np.diff(values, axis=1) ** 2).sum()
    assert flat @ grid_smoothness([4, 3]) @ flat == pytest.approx(expected)


def test_a_response_of_the_detector_and_decay_are_found():
    experiment, table, truth = simulated_scan(
        n_unique=1500, multiplicity=8, scale=lambda z, d: (1 - 0.3 * z / 90) * np.exp(-4 * z / 90 / d**2)
    )
    response = 1.0 + 0.15 * np.sin(table["xyzcal.px"][:, 0] / 160.0)
    for kind in ("prf", "sum"):
        table[f"intensity.{kind}.value"] = table[f"intensity.{kind}.value"] * response
        table[f"intensity.{kind}.variance"] = table[f"intensity.{kind}.variance"] * response**2
    options = {"model": "array", "modulation_correction": True, "n_modulation_bins": 8}
    result = spindle.run("scale", Experiments([experiment]), table, **options)
    good = result.reflections.has_flags(Flag.SCALED)
    true = truth["scale"] * response
    difference = np.log(result.reflections["inverse_scale_factor"] / true)[good]
    # equivalents have one resolution: what depends on it alone cannot be known
    order = np.argsort(result.reflections["d"][good])
    apart = [part - part.mean() for part in np.array_split(difference[order], 40)[2:]]  # the rest is sparse
    assert np.std(np.concatenate(apart)) < 0.03
    model = result.experiments[0].scaling_model
    setting = model["configuration_parameters"]
    assert model["__id__"] == "array"
    assert setting["corrections"] == ["decay", "absorption", "modulation"]
    assert len(model["decay"]["parameters"]) == setting["n_res_param"] * setting["n_time_param"]
    again = spindle.run("scale", result.experiments, result.reflections, **options)
    change = again.reflections["inverse_scale_factor"][good] / result.reflections["inverse_scale_factor"][good]
    assert np.std(np.log(change)) < 0.01, "it begins where it ended"


def test_what_cannot_be_is_refused():
    experiment, table, _ = simulated_scan(n_unique=100)
    with pytest.raises(ParameterError, match="nothing is left to scale"):
        spindle.run(
            "scale", Experiments([experiment]), table, model="array", array__decay_correction=False, array__absorption_correction=False
        )  # fmt: skip
