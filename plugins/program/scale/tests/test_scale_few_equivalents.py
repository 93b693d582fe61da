"""Data of multiplicity 1: the distribution of intensities tells scales, and sigmas hold how little that is."""

from __future__ import annotations

import numpy as np
import pytest

import spindle
from spindle.models import Experiments
from spindle.table import Flag
from spindle.testing.scaling import simulated_scan


def wandering(rms: float, seed: int):
    """A smooth logarithm of the scale along 120 images, of periods from 4 to 24 degrees."""
    t, k = np.linspace(0, 120, 240), np.arange(1, 7)
    a = np.random.default_rng(seed).normal(size=(6, 2)) / k[:, None]
    turns = 2 * np.pi * np.outer(k, t) / 240
    course = a[:, 0] @ np.cos(turns) + a[:, 1] @ np.sin(turns)
    course = (course - course.mean()) * rms / course.std()
    return lambda z, d: np.exp(np.interp(z, t, course))


@pytest.mark.parametrize("rms", [0.02, 0.1])
def test_sigmas_hold_what_is_not_known_of_the_scale(rms: float, caplog) -> None:
    squares, left, before = [], [], []
    with caplog.at_level("INFO"):
        for seed in (1, 3, 4):
            experiment, table, truth = simulated_scan(
                n_unique=3000, multiplicity=1, n_images=120, width_deg=0.1, seed=seed, scale=wandering(rms, seed)
            )
            result = spindle.run("scale", Experiments([experiment]), table)
            table = result.reflections
            good = table.has_flags(Flag.SCALED)
            g, true = table["inverse_scale_factor"][good], truth["intensity"][good]
            ratio = truth["scale"][good] / g
            k = np.exp(np.average(np.log(ratio), weights=true / np.sqrt(true + 25)))
            sigma = np.sqrt(table["intensity.scale.variance"][good]) / g
            z = (table["intensity.scale.value"][good] / g - k * true) / sigma
            squares.append((z[np.argsort(true)[-len(true) // 4 :]] ** 2).mean())
            left.append(np.log(ratio).std())
            before.append(np.log(truth["scale"][good]).std())
    assert np.sqrt(np.mean(squares)) == pytest.approx(1.0, abs=0.2)
    if rms == 0.1:
        assert np.mean(left) < 0.7 * np.mean(before)
    assert "their course is that which makes mean intensities alike" in caplog.text
    assert "The error model is mostly assumed" in caplog.text


def test_a_handful_of_reflections_tells_nothing(caplog) -> None:
    experiment, table, _ = simulated_scan(n_unique=200, multiplicity=1, n_images=20)
    with caplog.at_level("INFO"):
        result = spindle.run("scale", Experiments([experiment]), table)
    assert np.ptp(result.reflections["inverse_scale_factor"]) < 1e-12
    assert "there are no equivalents that could tell" in caplog.text
