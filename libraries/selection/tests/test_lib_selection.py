"""Choices of experiments get the rows that belong to them, with the numbers of the new list."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spindle.models import Experiments, ImageSet
from spindle.table import ReflectionTable
from spindle.testing.refiner import rotation_experiment
from spindle_lib_selection.parts import Parts, join


@pytest.fixture(scope="module")
def experiments():
    """Two lattices on one set of images, and one on another."""
    one = rotation_experiment(10)
    images = [ImageSet(template="a_###.cbf"), ImageSet(template="b_###.cbf")]
    return Experiments(
        [replace(one, identifier=name, imageset=images[k]) for name, k in (("x", 0), ("y", 0), ("z", 1))]
    )


@pytest.fixture
def table():
    return ReflectionTable(
        {
            "id": np.array([2, 0, -1, 1, -1, 0]),
            "imageset_id": np.array([1, 0, 1, 0, 0, 0]),
            "panel": np.arange(6),
        },
        {0: "x", 1: "y", 2: "z"},
    )


def test_rows_come_with_their_experiments_in_their_order(experiments, table):
    chosen, rows = Parts(experiments, table).take([2, 0])
    assert [e.identifier for e in chosen] == ["z", "x"]
    assert rows["panel"].tolist() == [0, 1, 2, 4, 5]
    assert rows["id"].tolist() == [0, 1, -1, -1, 1]
    assert rows["imageset_id"].tolist() == [0, 1, 0, 1, 1]
    assert rows.identifiers == {0: "z", 1: "x"}


def test_rows_of_no_experiment_go_with_their_images_or_stay_away(experiments, table):
    parts = Parts(experiments, table)
    assert parts.take([1])[1]["panel"].tolist() == [3, 4]
    assert parts.take([1], with_stray=False)[1]["panel"].tolist() == [3]
    assert parts.counts().tolist() == [2, 1, 1]


def test_no_experiment_no_rows_and_no_table(experiments, table):
    chosen, rows = Parts(experiments, table).take([])
    assert len(chosen) == len(rows) == 0
    assert Parts(experiments, None).take([1]) == (chosen, None) or Parts(experiments, None).take([1])[1] is None
    empty = table.select(np.zeros(0, int))
    assert len(Parts(experiments, empty).take([0, 1])[1]) == 0


def test_tables_are_joined_whatever_they_call_their_experiments(table):
    other = table.view()
    other.identifiers = {0: "something else"}
    joined = join([table, other])
    assert joined is not None and len(joined) == 12 and joined.identifiers == {}
    assert join([]) is None
