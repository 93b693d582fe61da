"""JSON that other programs can read, whatever was computed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from spindle.report import json_text


def test_numbers_that_json_does_not_have_are_null():
    content = {
        "a": float("nan"),
        "b": [np.float64("inf"), np.array([1.0, -np.inf])],
        3: {"s": {"y", "x"}, "p": Path("x")},
        "n": np.int64(4),
    }
    text = json_text(content, 1)
    found = json.loads(text, parse_constant=lambda name: pytest_fail(name))
    assert found == {"a": None, "b": [None, [1.0, None]], "3": {"s": ["x", "y"], "p": "x"}, "n": 4}
    assert json_text({"t": (True, None, 1)}) == '{"t": [true, null, 1]}'


def pytest_fail(name):
    raise AssertionError(f"{name} is no JSON")
