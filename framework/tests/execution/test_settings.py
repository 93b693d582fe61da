"""What the host reads from the parameters of a run, and which plugins scopes choose."""

from __future__ import annotations

from pathlib import Path

import pytest

from spindle.errors import ParameterError
from spindle.execution import RunContext
from spindle.execution.runner import effective_params, make_host
from spindle.execution.settings import RunSettings
from spindle.params import Assignment, HostParams, Params, UnrecordedParams, build, chosen, make


def settings_of(program: str, **values: object) -> RunSettings:
    assignments = [Assignment(k.replace("__", "."), v, "call") for k, v in values.items()]
    return RunSettings.of(program, effective_params(program, assignments, make_host()))


def test_defaults_keep_a_log_and_a_record_beside_it() -> None:
    settings = settings_of("integrate", output__log="there/a.log")
    assert (settings.seed, settings.overwrite, settings.observers) == (42, False, ())
    assert settings.log == Path("there/a.log")
    assert settings.record == Path("there/spindle.integrate.json")
    assert (settings.executor.name, settings.n_workers) == ("threads", None)


@pytest.mark.parametrize(("program", "scope"), [("integrate", "integration.mp"), ("index", "mp"), ("merge", "mp")])
def test_workers_are_those_of_the_programs_own_scope(program: str, scope: str) -> None:
    settings = settings_of(program, **{f"{scope}.nproc": 3, f"{scope}.method": "serial"})
    assert (settings.executor.slot, settings.executor.name, settings.n_workers) == ("executor", "serial", 3)


def test_what_was_said_is_taken() -> None:
    settings = settings_of("integrate", run__seed=7, run__record=None, run__overwrite=True)
    assert (settings.seed, settings.record, settings.overwrite) == (7, None, True)


def test_trees_without_the_hosts_scopes_have_its_defaults() -> None:
    settings = RunSettings.of("x", Params())
    assert (settings.seed, settings.record, settings.n_workers) == (42, Path("spindle.x.json"), None)


def test_programs_that_leave_nothing_behind() -> None:
    settings = RunSettings.of("x", build(UnrecordedParams, host=HostParams))
    assert (settings.log, settings.record) == (None, None)


def test_a_scope_gives_its_plugin_with_the_parameters_beside_the_choice() -> None:
    tree = effective_params("integrate", [Assignment("background.algorithm", "simple")], make_host())
    context = RunContext("integrate", tree)
    (found,) = chosen(tree.integration.background)
    assert (found.slot, found.name) == ("background", "simple")
    handle = context.chosen(tree.integration.background)
    assert handle.params is tree.integration.background.simple


def test_each_scope_has_its_own_choice_where_two_choose_the_same() -> None:
    tree = make(
        effective_params("search_beam_position", [], make_host()).__class__,
        **{"projection.method_x": "midpoint", "projection.method_y": "midpoint"},
    )
    assert [c.name for leaf in ("method_x", "method_y") for c in chosen(tree.projection, leaf)] == ["midpoint"] * 2
    with pytest.raises(ParameterError, match="there are: method_x, method_y"):
        chosen(tree.projection)


def test_none_is_no_plugin() -> None:
    tree = effective_params("scale", [Assignment("error_model", None)], make_host())
    assert chosen(tree.weighting.error_model) == ()
    with pytest.raises(ParameterError, match="0 plugins are chosen"):
        RunContext("scale", tree).chosen(tree.weighting.error_model)
