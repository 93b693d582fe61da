"""What is marked as unavailable is refused, in every program and every plugin, with the reason in the message."""

from __future__ import annotations

from typing import Any

import pytest

from spindle.errors import ParameterError
from spindle.params import Assignment, Auto, Choice, Entry, Params, walk
from spindle.params.resolve import build
from spindle.plugins import registry

OTHERS = [None, Auto, True, False, 0.5, 7, (7, 8), (0.5, 7.0), "x", (10.0, 20.0, 30.0, 90.0, 90.0, 90.0)]


def marked() -> list[Any]:
    """Class of parameters and entry of every leaf that has values nobody heeds."""
    found = []
    for info in registry().infos:
        plugin: Any = registry().load(info.slot, info.name)
        cls = plugin.Params or Params
        for entry in walk(build(cls), templates=True):
            if entry.unavailable or entry.leaf.unavailable_values:
                found.append(pytest.param(cls, entry, id=f"{info.slot}-{info.name}-{entry.path}"))
    return found


def other_values(entry: Entry) -> list[Any]:
    """Values that the leaf would take and that are not its default; of some marked values, these."""
    if not entry.unavailable:
        return [v for v in entry.leaf.unavailable_values if v != entry.default]
    words = list(entry.leaf.choices()) if isinstance(entry.leaf, Choice) else []
    values = []
    for value in [*OTHERS, *words]:
        try:
            checked = entry.leaf._checked(value)
        except ValueError:
            continue
        if checked != entry.default:
            values.append(value)
    return values


@pytest.mark.parametrize(("cls", "entry"), marked())
def test_unavailable_values_are_refused_with_the_reason(cls: type[Params], entry: Entry) -> None:
    values = other_values(entry)
    assert values or entry.leaf.unavailable_values or len(entry.leaf.choices()) == 1, (
        "no value was found that could be refused"
    )
    for value in values:
        reason = entry.unavailable or entry.leaf.unavailable_values[value]
        with pytest.raises(ParameterError) as error:
            build(cls, [Assignment(entry.path, value, "command line")])
        message = str(error.value)
        assert f"{entry.path.rpartition('.')[2]}=" in message and "(command line)" in message
        assert reason in message
    build(cls, [Assignment(entry.path, entry.leaf.plain(entry.default), "command line")])


@pytest.mark.parametrize(("cls", "entry"), marked())
def test_unavailable_parameters_are_shown_late_and_described_apart(cls: type[Params], entry: Entry) -> None:
    """The mark tells why; the help of the parameter says what it would do."""
    assert entry.level >= 2 or not entry.unavailable
    assert "not available" not in entry.leaf.help and "not implemented" not in entry.leaf.help


def test_the_tests_above_have_something_to_test() -> None:
    assert len(marked()) > 50
