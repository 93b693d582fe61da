from __future__ import annotations

import os

import pytest

import spindle
from spindle.errors import ParameterError, UserError
from spindle.execution import RunContext
from spindle.params import HostParams, make


@pytest.fixture(autouse=True)
def here(install, tmp_path, monkeypatch):
    install("trial_plugins")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_run_returns_results_and_writes_nothing(here):
    result = spindle.run("trial", n=4)
    assert result.summary["values"] == [0, 1, 4, 9]
    assert result.tables[0].key == "squares"
    assert os.listdir(here) == []


def test_algorithms_are_chosen_by_the_name_of_their_scope():
    assert spindle.run("trial", squares="fancy", tuning_constant=0.5).summary["values"] == [0.5, 1.5, 4.5]


def test_parameters_may_be_dicts_or_dotted():
    assert spindle.run("trial", squares={"plain": {"offset": 1}}).summary["values"] == [1, 2, 5]
    assert spindle.run("trial", squares__plain__offset=1).summary["values"] == [1, 2, 5]


def test_wrong_parameters_are_errors():
    with pytest.raises(ParameterError, match="did you mean n"):
        spindle.run("trial", nn=4)


@pytest.mark.parametrize("nproc", [1, 2, 5])
def test_results_do_not_depend_on_the_number_of_workers(nproc):
    one = spindle.run("trial", n=50, nproc=1).summary
    assert spindle.run("trial", n=50, nproc=nproc).summary == one


def test_random_numbers_follow_the_seed():
    first = spindle.run("trial").summary["random"]
    assert spindle.run("trial").summary["random"] == first
    assert spindle.run("trial", seed=7).summary["random"] != first


def test_errors_in_workers_name_the_item():
    with pytest.raises(UserError) as error:
        spindle.run("trial", n=5, fail="item", nproc=2)
    assert error.value.__notes__ == ["while working on item 2: 2"]


def test_programs_run_programs_with_the_parameters_of_their_scope(here):
    result = spindle.run("trial_chain", **{"first.n": 5})
    assert result.summary == {"a": [0, 1, 4, 9, 16], "b": [0, 1]}
    assert sorted(os.listdir(here)) == ["spindle.trial.log", "squares.txt"]


def test_observers_hear_what_happens():
    import trial_plugins

    trial_plugins.heard.clear()
    spindle.run("trial", observers="listener")
    assert trial_plugins.heard == ["trial started", "squaring 0", "squaring 3", "squares", "trial finished 1"]


def test_algorithms_outside_a_parameter_tree_get_their_defaults():
    context = RunContext("test", make(HostParams))
    assert context.algorithm("trial_slot", "plain").value(3) == 9
    assert {p["name"] for p in context.host.used()} == {"plain"}
