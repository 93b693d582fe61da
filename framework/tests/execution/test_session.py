"""Programs with parameters that are made once, and single algorithms, on objects in memory."""

from __future__ import annotations

import os

import numpy as np
import pytest

import spindle
from spindle.errors import ParameterError, PluginError
from spindle.testing.background import flat_shoeboxes, pixel_detector


@pytest.fixture
def here(install, tmp_path, monkeypatch):
    install("trial_plugins")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_session_runs_as_often_as_it_is_asked(here):
    session = spindle.Session("trial", {"n": 4})
    first, second = session.run(), session.run()
    assert first.summary == second.summary
    assert first.summary["values"] == [0, 1, 4, 9]
    assert [len(result.tables) for result in (first, second)] == [1, 1]
    assert first.summary["random"] == spindle.run("trial", n=4).summary["random"]
    assert os.listdir(here) == []


def test_a_changed_session_leaves_the_first_as_it_was(here):
    session = spindle.Session("trial", {"n": 4})
    other = session.changed(squares__plain__offset=1)
    assert other.run().summary["values"] == [1, 2, 5, 10]
    assert session.run().summary["values"] == [0, 1, 4, 9]
    assert spindle.Session("trial", other.params).run().summary == other.run().summary


def test_other_programs_run_with_the_parameters_of_their_scope(here):
    session = spindle.Session("trial_chain", {"first.n": 5})
    assert session.run_program("trial").summary["values"] == [0, 1, 4, 9, 16]


def test_wrong_parameters_are_found_when_the_session_is_made(here):
    with pytest.raises(ParameterError, match="did you mean n"):
        spindle.Session("trial", {"nn": 4})


def test_one_algorithm_is_called_on_arrays():
    shoeboxes = flat_shoeboxes(5, 3.0)
    plain = spindle.algorithm("background", "simple", outlier__algorithm="null")
    assert plain.params.outlier.algorithm == "null"
    found = plain.estimate_background(shoeboxes=shoeboxes, detector=pixel_detector())
    data = np.split(shoeboxes.data, shoeboxes.offsets[1:-1])
    mask = np.split(shoeboxes.mask, shoeboxes.offsets[1:-1])
    expected = [d[(m & 3) == 3].mean() for d, m in zip(data, mask, strict=True)]
    assert found.mean == pytest.approx(expected, rel=1e-6)


def test_algorithms_that_are_not_there_or_take_no_such_parameter_are_errors():
    with pytest.raises(PluginError, match="glm"):
        spindle.algorithm("background", "gml")
    with pytest.raises(ParameterError, match="tuning_constant"):
        spindle.algorithm("background", "glm", tuning_constnat=1)
