"""Images on which the beam was lost."""

from __future__ import annotations

import logging

import numpy as np
import pytest

import spindle
from spindle.models import Experiments
from spindle.table import Flag
from spindle.testing.scaling import simulated_scan
from spindle_lib_merging import merge_equivalents


def flickering(lost, level=0.3, seed=0):
    """A beam that flickers by 3 % and drifts by 30 %, lost on some images (counted from 1)."""
    factor = 1.0 + 0.03 * np.random.default_rng(seed).normal(size=90) + 0.3 * np.sin(np.arange(90) / 20)
    for image in lost:
        factor[image - 1] *= level
    return lambda z, d: factor[np.floor(z).astype(int)]


def run(lost, level=0.3, parameters=(), seed=0):
    experiment, table, truth = simulated_scan(
        n_unique=1400, multiplicity=6, scale=flickering(lost, level, seed), seed=seed, n_images=90
    )
    return spindle.run("scale", Experiments([experiment]), table, **dict(parameters)), truth


def residual(result, truth):
    """Rms of ln g against the truth, of what was scaled."""
    good = result.reflections.has_flags(Flag.SCALED)
    difference = np.log(result.reflections["inverse_scale_factor"][good] / truth["scale"][good])
    return float(np.std(difference))


@pytest.mark.parametrize(("lost", "level"), [([41], 0.2), ([1], 0.4), ([30, 31, 70], 0.02), ([90], 1.6)])
@pytest.mark.sampled(2)
def test_images_without_beam_are_left_out(lost, level, caplog):
    result, truth = run(lost, level)
    assert result.summary["n_images_left_out"] == len(lost)
    for image in lost:
        assert f"image {image} (" in caplog.text
    scaled = result.reflections.has_flags(Flag.SCALED)
    number = np.floor(result.reflections["xyzcal.px"][:, 2]).astype(int) + 1
    assert not np.isin(number[scaled], lost).any()
    assert result.reflections.has_flags(Flag.USER_EXCLUDED_IN_SCALING)[np.isin(number, lost)].mean() > 0.99
    clean, clean_truth = run([])
    assert residual(result, truth) < 1.2 * residual(clean, clean_truth) + 0.002


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_flickering_beam_loses_nothing(seed, caplog):
    result, _ = run([], seed=seed)
    assert "n_images_left_out" not in result.summary
    assert "off their neighbours" not in caplog.text


def test_the_user_can_keep_them(caplog):
    with caplog.at_level(logging.WARNING):
        result, _ = run([41], 0.3, {"image_outliers.reject": False})
    assert "n_images_left_out" not in result.summary
    assert "image 41 (0." in caplog.text
    number = np.floor(result.reflections["xyzcal.px"][:, 2]).astype(int) + 1
    assert result.reflections.has_flags(Flag.SCALED)[number == 41].mean() > 0.5


@pytest.mark.parametrize(("spread", "n_unique"), [(0.02, 1500), (0.05, 160), (0.0, 1500)])
def test_flicker_is_corrected_and_a_steady_beam_left_alone(spread, n_unique, caplog):
    factor = 1.0 + spread * np.random.default_rng(7).normal(size=90)
    found = {}
    experiment, table, truth = simulated_scan(
        n_unique=n_unique,
        multiplicity=8,
        scale=lambda z, d: factor[np.floor(z).astype(int)] * (1 + 0.15 * np.sin(z / 20)),
        seed=5,
        n_images=90,
    )
    for correct in (True, False):
        with caplog.at_level(logging.INFO):
            result = spindle.run("scale", Experiments([experiment]), table, **{"physical.image_correction": correct})
        found[correct] = residual(result, truth)
    if spread:
        # what counts allow for: 0.007 with 107 observations an image, 0.02 with 14
        assert found[True] < (0.008 if n_unique > 1000 else 0.6 * found[False]) < 0.03 and found[False] > 0.008
        assert caplog.text.count("the scale jumps by") == 1
    else:
        assert found[True] < 1.02 * found[False] and "the scale jumps by" not in caplog.text
    known = result.experiments[0].scaling_model
    assert "image" not in known and known["configuration_parameters"]["corrections"][0] == "scale"


def test_factors_of_images_leave_their_errors_in_the_sigmas():
    """Few observations of an image: merged strong intensities are as far from the truth as they say, over four beams."""
    squares = []
    for seed in (41, 42, 43, 44):
        factor = 1.0 + 0.02 * np.random.default_rng(seed).normal(size=90)
        experiment, table, truth = simulated_scan(
            n_unique=1500,
            multiplicity=3,
            b=0.01,
            scale=lambda z, d, f=factor: f[np.floor(z).astype(int)],
            seed=seed,
            n_images=90,
        )
        result = spindle.run("scale", Experiments([experiment]), table)
        assert "image" in result.experiments[0].scaling_model
        good = result.reflections.has_flags(Flag.SCALED)
        g, group = result.reflections["inverse_scale_factor"][good], experiment.crystal.space_group
        value, variance = (result.reflections[f"intensity.scale.{n}"][good] for n in ("value", "variance"))
        hkl, x = result.reflections["miller_index"][good], 0.5 / result.reflections["d"][good] ** 2
        # the overall scale and B that nobody can know
        level = np.exp(np.polyval(np.polyfit(x, np.log(g / truth["scale"][good]), 1), x))
        merged = merge_equivalents(hkl, value * level / g, variance * (level / g) ** 2, group, False)
        true = merge_equivalents(hkl, truth["intensity"][good], np.ones(len(g)), group, False).intensity
        strong = np.argsort(true)[-len(true) // 5 :]
        squares.append(((merged.intensity - true)[strong] / merged.sigma[strong]) ** 2)
    assert np.sqrt(np.concatenate(squares).mean()) == pytest.approx(1.0, abs=0.06)
