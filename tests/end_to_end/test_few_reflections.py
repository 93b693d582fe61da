"""symmetry, scale and merge on hardly any reflections, on bad ones, and where one of several experiments has none.

The rule: a result, or one message that says what is missing; no traceback and no warning of numpy (warnings are errors in the tests).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import spindle
from spindle.errors import UserError
from spindle.models import Experiments
from spindle.table import Flag, ReflectionTable
from spindle.testing.scaling import simulated_scan

PROGRAMS = ("symmetry", "scale", "merge")
VALUES = [f"intensity.{kind}.value" for kind in ("sum", "prf")]


@pytest.fixture(scope="module")
def inputs():
    """Experiments and reflections for each program."""
    experiment, table, _ = simulated_scan(n_unique=300)
    experiments = Experiments([experiment])
    scaled = spindle.run("scale", experiments, table)
    return {
        "symmetry": (experiments, table),
        "scale": (experiments, table),
        "merge": (scaled.experiments, scaled.reflections),
    }


def outcome(program, experiments, table):
    """The message of the error, or an empty text."""
    with np.errstate(all="warn"):
        try:
            spindle.run(program, experiments, table)
        except UserError as error:
            return str(error)
    return ""


def several(experiments, parts):
    """Experiments of the same crystal, and a table with the reflections of each."""
    first = experiments[0]
    names = [first.identifier, *(f"further{k}" for k in range(1, len(parts)))]
    tables = []
    for k, (name, part) in enumerate(zip(names, parts, strict=True)):
        one = part.copy()
        one["id"] = np.full(len(one), k)
        one.identifiers = {k: name}
        tables.append(one)
    return Experiments(replace(first, identifier=name) for name in names), ReflectionTable.concatenate(tables)


def unusable(table):
    bad = table.copy()
    bad["flags"] = np.full(len(bad), int(Flag.INDEXED | Flag.PREDICTED), bad["flags"].dtype)
    return bad


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_hardly_any_reflections(inputs, program, n):
    experiments, table = inputs[program]
    said = outcome(program, experiments, table.select(np.arange(n)))
    assert bool(said) == (n == 0 or program == "symmetry"), said
    if said and n:
        assert f"{n} of {n} reflections" in said and "laue_group" in said


@pytest.mark.parametrize("program", PROGRAMS)
def test_reflections_that_are_all_bad(inputs, program):
    experiments, table = inputs[program]
    said = outcome(program, experiments, unusable(table))
    assert str(len(table)) in said, "the message says how many there are and why none counts"


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("sign", [0.0, -1.0])
def test_intensities_of_nothing_and_below(inputs, program, sign):
    experiments, table = inputs[program]
    table = table.copy()
    for name in [*VALUES, "intensity.scale.value"]:
        if name in table:
            table[name] = sign * np.abs(table[name])
    assert "Traceback" not in outcome(program, experiments, table)


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("empty", [0, *(pytest.param(i, marks=pytest.mark.long) for i in (1, 2))])
def test_one_of_three_experiments_has_no_reflections(inputs, program, empty):
    experiments, table = inputs[program]
    three, joined = several(experiments, [table.select(np.arange(0)) if k == empty else table for k in range(3)])
    said = outcome(program, three, joined)
    if program == "scale":
        assert f"no reflections of data set {empty} of 0 to 2" in said
        assert f"exclude_datasets={empty}" in said
        assert spindle.run("scale", three, joined, exclude_datasets=(empty,)).experiments
    else:
        assert said == ""


@pytest.mark.parametrize("program", PROGRAMS)
def test_one_of_two_experiments_has_bad_reflections_only(inputs, program):
    experiments, table = inputs[program]
    two, joined = several(experiments, [table, unusable(table)])
    said = outcome(program, two, joined)
    assert ("exclude_datasets=1" in said) if program == "scale" else said == ""
