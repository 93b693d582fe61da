from __future__ import annotations

import numpy as np
import pytest

from spindle.report import Table


def test_rows_are_lines_with_numbers_to_the_right():
    table = Table("Shells", ["d (A)", "n", "note"], [[3.14159, 12, "low"], [None, 7, "high"]], "shells")
    assert str(table).splitlines() == [
        "Shells",
        "+-------+----+------+",
        "| d (A) |  n | note |",
        "+=======+====+======+",
        "| 3.142 | 12 | low  |",
        "|    -- |  7 | high |",
        "+-------+----+------+",
    ]


def test_headers_may_have_several_lines():
    lines = str(Table("", ["RMSD\n(px)"], [[0.25]])).splitlines()
    assert lines[1:3] == ["| RMSD |", "| (px) |"]


def test_columns_are_found_by_header():
    assert Table("", ["a", "b"], [[1, 2], [3, 4]]).column("b") == [2, 4]


def test_rows_of_another_length_are_errors():
    with pytest.raises(ValueError, match="a row has 1 values for 2 headers"):
        Table("", ["a", "b"], [[1]])


def test_numpy_values_become_plain():
    rows = Table("", ["a", "b"], [[np.float32(0.5), np.int64(3)]]).to_dict()["rows"]
    assert rows == [[0.5, 3]]
    assert type(rows[0][0]) is float


def test_missing_and_large_numbers():
    lines = str(Table("", ["x"], [[float("nan")], [123456.0], [1.0e-7]])).splitlines()
    assert [line.strip("| ") for line in lines[3:6]] == ["--", "123456", "1e-07"]
