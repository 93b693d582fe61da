"""Indexings of many crystals as `spindle cosym` and `dials.cosym` choose them. Skipped without DIALS."""

from __future__ import annotations

import ast
import re

import spindle
from spindle.files import write_experiments, write_reflections
from spindle.testing.data_sets import incomplete_data_sets
from spindle.testing.dials import dials

CELL = (61.0, 61.0, 80.0, 90.0, 90.0, 120.0)


def test_the_same_sets_belong_together(tmp_path):
    """P 3 in the three indexings that rotations and twofolds give; both start from P 1 and find the group."""
    sets = incomplete_data_sets("P 3", CELL, 12, 8, ("b,a,-c", "-a,-b,c"), share=0.2, d_min=5.0, triclinic=True)
    write_experiments(sets.experiments, tmp_path / "x.expt")
    write_reflections(sets.table, tmp_path / "x.refl")
    text = dials("dials.cosym", "x.expt", "x.refl", cwd=tmp_path)
    theirs = {frozenset(ast.literal_eval(v)) for v in re.findall(r"^\S+,\S+,\S+: (\[.*\])$", text, re.MULTILINE)}
    assert "Best solution: P -3\n" in text
    result = spindle.run("cosym", sets.experiments, sets.table)
    assert result.summary["space_group"] == "P 3"
    ours = {}
    for row in next(t for t in result.tables if t.key == "data_sets").rows:
        ours.setdefault(row[-1], set()).add(row[0])
    truth = {}
    for i, way in enumerate(sets.chosen):
        truth.setdefault(way, set()).add(i)
    assert {frozenset(v) for v in ours.values()} == {frozenset(v) for v in truth.values()} == theirs
