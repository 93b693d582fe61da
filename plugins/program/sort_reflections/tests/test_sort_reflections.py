"""`spindle sort_reflections`: rows in order, equal ones in theirs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import spindle
from spindle.cli.main import main
from spindle.contracts import ProgramInputs
from spindle.errors import ParameterError, UserError
from spindle.files import read_reflections, write_reflections
from spindle.table import ReflectionTable, Shoeboxes
from spindle.testing.program import ProgramContract


def rows(n=6):
    panel = np.zeros(n, int)
    return ReflectionTable(
        {
            "miller_index": np.array([(1, 2, 3), (0, 5, 5), (1, 2, -3), (0, 5, 5), (-1, 9, 9), (1, 0, 0)])[:n],
            "d": np.array([2.0, 1.0, 3.0, 1.0, 5.0, 4.0])[:n],
            "flags": np.array([1, 2**40, 3, 2**40, 0, 7])[:n],
            "name": np.array(list("bcabca"), object)[:n],
            "panel": np.arange(n),
            "shoebox": Shoeboxes.empty(panel, np.tile([0, 1, 0, 1, 0, 1], (n, 1))),
        },
        {0: "x"},
    )


class TestSort(ProgramContract):
    name = "sort_reflections"

    @pytest.fixture
    def inputs(self):
        return ProgramInputs(reflections=[rows()])


@pytest.mark.parametrize(
    ("key", "expected", "backwards"),
    [
        ("miller_index", [4, 1, 3, 5, 2, 0], [0, 2, 5, 1, 3, 4]),
        ("d", [1, 3, 0, 2, 5, 4], [4, 5, 2, 0, 1, 3]),
        ("flags", [4, 0, 2, 5, 1, 3], [1, 3, 5, 2, 0, 4]),
        ("name", [2, 5, 0, 3, 1, 4], [1, 4, 0, 3, 2, 5]),
        ("miller_index.2", [2, 5, 0, 1, 3, 4], [4, 1, 3, 0, 5, 2]),
    ],
)
def test_rows_are_sorted(key, expected, backwards):
    for reverse, order in ((False, expected), (True, backwards)):
        found = spindle.run("sort_reflections", None, rows(), key=key, reverse=reverse).reflections
        assert found["panel"].tolist() == order and found.identifiers == {0: "x"}


def test_the_file_is_the_one_that_was_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_reflections(rows(), "x.refl")
    assert main(["sort_reflections", "x.refl"]) == 0
    assert read_reflections("sorted.refl")["panel"].tolist() == [4, 1, 3, 5, 2, 0]
    assert main(["sort_reflections", "x.refl", "output=mine.refl", "key=d"]) == 0
    assert (
        read_reflections("mine.refl")["panel"].tolist() == [1, 3, 0, 2, 5, 4]
        and not Path("sort_reflections.refl").exists()
    )
    assert main(["sort_reflections", "x.refl", "key=shoebox"]) == 2


@pytest.mark.parametrize("key", ["nothing", "shoebox", "miller_index.3", ""])
def test_columns_without_order_are_refused(key):
    with pytest.raises(ParameterError, match="key="):
        spindle.run("sort_reflections", None, rows(), key=key)


def test_no_rows_and_no_table():
    assert len(spindle.run("sort_reflections", None, rows().select(np.zeros(0, int))).reflections) == 0
    with pytest.raises(UserError, match="give one reflection file, 0"):
        spindle.run("sort_reflections")
