"""How many parameters a data set may have depends on how many are scaled together."""

from __future__ import annotations

import numpy as np
import pytest

from spindle.contracts.scaling import Computed, DatasetInfo, ScaleTarget
from spindle.errors import ShapeError
from spindle.testing import make_context
from spindle.testing.scaling import scan_experiment, scan_observations


def test_with_many_data_sets_each_has_fewer_parameters():
    experiment = scan_experiment(180)
    observations = scan_observations(experiment, 20_000)
    physical = make_context().algorithm("scaling", "physical")

    def n_parameters(n_peers):
        peers = [DatasetInfo(experiment, len(observations))] * n_peers
        model = physical.build_scaling_model(experiment, observations, None, peers)
        return sum(len(t.parameters) for t in model.terms)

    alone = physical.build_scaling_model(experiment=experiment, observations=observations, existing=None)
    assert n_parameters(0) == sum(len(t.parameters) for t in alone.terms)
    assert n_parameters(200) < n_parameters(0)


def test_rows_of_many_observations_are_computed_when_they_are_asked_for():
    """24 harmonics of ten million observations would take 2 GB; each row is the same whichever others are asked for."""
    experiment = scan_experiment(60)
    model = make_context().algorithm("scaling", "physical").build_scaling_model(
        experiment, scan_observations(experiment, 3000), None, []
    )  # fmt: skip
    assert {t.name for t in model.terms} == {"scale", "decay", "absorption", "image"}
    rows = np.random.default_rng(2).permutation(3000)[:500]
    for term in model.terms:
        assert isinstance(term.weights, Computed) and len(term.weights) == 3000
        np.testing.assert_array_equal(term.weights[rows], term.weights[:][rows])
        np.testing.assert_array_equal(term.weights.of(rows)[5:9], term.weights[rows[5:9]])
        if len(term.indices) > 1:
            assert isinstance(term.indices, Computed) and term.indices[:].dtype == np.int32
        if term.name == "image":  # each row is of one factor
            assert len(np.unique(term.indices[:])) > 10
        else:
            assert term.weights[:].std() > 0.01


def test_a_target_whose_arrays_do_not_belong_together_is_refused():
    with pytest.raises(ShapeError, match=r"target calculated.mtz: indices \(2, 3\)"):
        ScaleTarget(np.zeros((2, 3), int), np.zeros(2), np.zeros(3), "calculated.mtz")
