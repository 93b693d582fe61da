"""What refinement holds in memory of many spots."""

from __future__ import annotations

import weakref

import pytest
from spindle_refiner_centroid.macrocycle import Macrocycle

from spindle.execution import run
from spindle.testing.indexing import rotation_experiment, spots_of, without_crystals


@pytest.fixture(scope="module")
def indexed():
    truth = [rotation_experiment((38.0, 46.0, 57.0, 90.0, 90.0, 90.0), seed=3, n_images=12)]
    return run("index", without_crystals(truth), spots_of(truth, seed=1, d_min=4.0), max_refine=8)


@pytest.mark.parametrize("varying", [False, True])
def test_what_was_chosen_from_is_gone_while_the_models_are_refined(indexed, monkeypatch, varying):
    """Of a million spots each set of observations takes 100 MB, residuals of all of them 24 MB."""
    candidates, alive = [], []
    divide, minimise = Macrocycle._divide, Macrocycle._minimise

    def divided(self, observations, *which):
        candidates.append(weakref.ref(observations.weights))
        return divide(self, observations, *which)

    def minimised(self, *arguments, **options):
        alive.append((candidates[-1]() is not None, hasattr(self, "start")))
        return minimise(self, *arguments, **options)

    monkeypatch.setattr(Macrocycle, "_divide", divided)
    monkeypatch.setattr(Macrocycle, "_minimise", minimised)
    result = run("refine", indexed.experiments, [indexed.reflections], scan_varying=varying)
    assert len(result.reflections) and len(alive) > varying
    assert alive[-1] == (False, False)
