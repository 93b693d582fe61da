"""Predictions moved by what strong spots nearby say."""

from __future__ import annotations

import logging

import numpy as np
from spindle_program_integrate import shifts as program_shifts
from spindle_program_integrate.shifts import learn_shifts

from spindle.models import Experiments
from spindle.table import ReflectionTable
from spindle.testing.profile import rotation_experiment

LOG = logging.getLogger("test")


def tables(shift, n=3000, seed=1):
    """Predictions and strong spots on 280 x 300 pixels that are seen beside them by ``shift(x, y)``."""
    rng = np.random.default_rng(seed)
    found = []
    for size in (2000, n):
        xyz = rng.uniform([0, 0, 0], [280, 300, 24], (size, 3))
        table = ReflectionTable({"xyzcal.px": xyz, "id": np.zeros(size, np.int32), "panel": np.zeros(size, np.uint64)})
        table["xyzobs.px.value"] = xyz + np.column_stack([*shift(xyz[:, 0], xyz[:, 1]), np.zeros(size)])
        table["xyzobs.px.value"] += rng.normal(0, 0.1, (size, 3))
        found.append(table)
    return found


def moved_predictions(experiments, predicted, reference, log):
    """Both tables with what was learned."""
    shifts = learn_shifts(experiments, reference, log)
    return None if shifts is None else (shifts.moved(predicted), shifts.moved_spots(reference))


def module(x, y):
    """Two halves, displaced from each other."""
    return np.where(y > 150, 0.4, -0.3), np.where(y > 150, 0.0, 0.25)


def test_predictions_follow_parts_that_are_displaced():
    experiments = Experiments([rotation_experiment()])
    predicted, reference = tables(module)
    reference["xyzobs.px.value"][::50] += 5.0  # wrongly indexed
    moved = moved_predictions(experiments, predicted, reference, LOG)
    assert moved is not None
    x, y = predicted["xyzcal.px"][:, :2].T
    change = moved[0]["xyzcal.px"] - predicted["xyzcal.px"]
    assert not change[:, 2].any()
    error = np.hypot(*(change[:, :2].T - module(x, y)))
    assert np.sqrt(np.mean(error**2)) < 0.12 and np.median(error) < 0.06
    assert np.median(np.abs(moved[1]["xyzobs.px.value"] - moved[1]["xyzcal.px"])[:, 0]) < 0.1


def test_a_map_of_many_spots_says_what_they_say(monkeypatch):
    """With more spots than teach, predictions take what is said of the nearest place of a map."""
    experiments = Experiments([rotation_experiment()])
    predicted, reference = tables(lambda x, y: (0.004 * (x - 140), 0.3 * np.sin(y / 60)), 6000)
    exact = moved_predictions(experiments, predicted, reference, LOG)
    monkeypatch.setattr(program_shifts, "MOST_TAUGHT", 5999)
    taught = learn_shifts(experiments, reference, LOG).taught[0]
    assert isinstance(taught, program_shifts.Map) and taught.shifts.shape == (71, 76, 2)
    mapped = moved_predictions(experiments, predicted, reference, LOG)
    away = np.abs(mapped[0]["xyzcal.px"] - exact[0]["xyzcal.px"])
    assert 0 < away.max() < 0.15 and np.median(away[:, :2]) < 0.03
    np.testing.assert_array_equal(taught(np.array([[-50.0, 1e4]]))[0], taught.shifts[0, -1])


def test_right_predictions_and_few_spots_stay():
    experiments = Experiments([rotation_experiment()])
    for n, shift in ((3000, lambda x, y: (0 * x, 0 * y)), (150, module)):
        predicted, reference = tables(shift, n)
        before = predicted["xyzcal.px"].copy()
        assert moved_predictions(experiments, predicted, reference, LOG) is None
        np.testing.assert_array_equal(predicted["xyzcal.px"], before)
    predicted, reference = tables(module)
    del reference["xyzobs.px.value"]
    assert moved_predictions(experiments, predicted, reference, LOG) is None


def test_each_panel_is_moved_by_its_own_spots():
    experiments = Experiments([rotation_experiment()])
    predicted, reference = tables(lambda x, y: (0.4 + 0 * x, 0 * y))
    predicted["panel"][::2] = 1
    moved = moved_predictions(experiments, predicted, reference, LOG)
    assert moved is not None
    change = (moved[0]["xyzcal.px"] - predicted["xyzcal.px"])[:, 0]
    assert not change[::2].any() and np.abs(change[1::2] - 0.4).max() < 0.15
