"""Plugins that break their contract are told of, by name, at every slot; and arrays of the host cannot be changed."""

from __future__ import annotations

import numpy as np
import pytest

from spindle.contracts import SLOTS
from spindle.contracts.checking import read_only
from spindle.contracts.smallest import smallest_calls
from spindle.plugins import ContractError, registry, spec_of
from spindle.plugins.blame import blame_of
from spindle.plugins.host import HostContext, PluginHost
from spindle.table import ReflectionTable, Shoeboxes

BROKEN = [
    ("background", "none", "the result is None, BackgroundEstimate expected"),
    ("background", "tuple", "the result is tuple, BackgroundEstimate expected"),
    ("background", "nan", "background is nan in pixel 191 of the block, of shoebox 1, although success is True there"),
    ("background", "short", "background has the shape (564,), (567,) expected"),
    ("background", "dtype", "success is of int64, bool expected"),
    ("background", "negative", "mean_variance is -1.0 in row 0"),
    ("threshold", "int", "the result is of int32, bool expected"),
    ("threshold", "masked", "the result is True at 48 pixels where mask is False"),
    ("threshold", "shape", "the result has the shape (48, 32), (32, 48) expected"),
    ("centroid", "nan", "position is [nan nan nan] in row 0 although success is True there"),
    ("centroid", "negative", "variance is [-1. -1. -1.] in row 0"),
    ("outlier", "short", "the result has the shape (39,), (40,) expected"),
    ("outlier", "rows", "the result has the shape (2,), (40,) expected"),
    ("indexing", "single", "vectors is of float32, float64 expected"),
    ("indexing", "nan", "vectors is [inf inf inf] in row 0"),
    ("error_model", "nan", "parameters[1] is nan, a finite number expected"),
    ("error_model", "negative", "the result is -5.0 in row 0"),
    ("scaling", "nan", "weights of the term scale is [nan] in row 0"),
    ("scaling", "short", "weights of the term scale have 7 rows, 60 observations expected"),
    ("beam_position", "one", "the result has 1 items, 2 expected"),
    ("beam_position", "nan", "position along axis 0 is nan"),
    ("exporter", "text", "files['smallest.mtz'] is str, a function that writes to a path expected"),
    ("exporter", "nothing", "files is empty"),
    ("executor", "none", "the result is None, an iterator over the results expected"),
    ("executor", "shuffles", "the absolute values of -1, 2, -3 are [3, 2, 1]"),
]
CHANGING = [("background", "writes"), ("threshold", "writes"), ("outlier", "sorts"), ("error_model", "writes")]


def call(slot: str, name: str) -> None:
    """Call all hooks of a plugin with the smallest input."""
    host = PluginHost()
    handle = host.make(slot, name, context=HostContext(host))
    results: dict = {}
    for hook, arguments, look in smallest_calls(slot):
        if hook in handle.__dict__:
            results[hook] = handle.__dict__[hook](**arguments(results))
            with host.guard(slot, name, handle.plugin)(hook):
                look(results[hook])


@pytest.fixture
def broken(install):
    install("broken_plugins/breaks_contract")


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize(("slot", "fault", "text"), BROKEN, ids=[f"{s}-{f}" for s, f, _ in BROKEN])
def test_a_wrong_result_names_plugin_distribution_hook_and_fault(slot, fault, text):
    with pytest.raises(ContractError) as error:
        call(slot, f"{slot}_{fault}")
    message = str(error.value)
    assert message.startswith(f"{slot} '{slot}_{fault}' of outside-breaks 2.0: ")
    assert text in message
    assert "breaks its contract" in message
    assert "Next: " in message


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize(("slot", "fault"), CHANGING, ids=[s for s, _ in CHANGING])
def test_a_plugin_that_changes_what_it_was_given_is_named(slot, fault):
    with pytest.raises(ValueError, match="read-only") as error:
        call(slot, f"{slot}_{fault}")
    whose = blame_of(error.value)
    assert whose.startswith(f"{slot} '{slot}_{fault}' of outside-breaks 2.0, hook ")
    assert "outside_breaks.py:" in whose
    assert "has to copy first" in whose


@pytest.mark.usefixtures("broken")
def test_an_error_names_the_plugin_and_its_line():
    with pytest.raises(KeyError) as error:
        call("background", "background_raises")
    whose = blame_of(error.value)
    assert whose.startswith("background 'background_raises' of outside-breaks 2.0, hook estimate_background, ")
    assert "outside_breaks.py:" in whose


@pytest.mark.usefixtures("broken")
def test_a_plugin_cannot_end_the_process():
    with pytest.raises(ContractError, match=r"background_exits.*it tries to end the process: licence expired"):
        call("background", "background_exits")


@pytest.mark.parametrize("slot", [s for s in SLOTS if smallest_calls(s)])
def test_installed_plugins_answer_the_smallest_input_as_their_contract_says(slot):
    elsewhere = {
        "real_space_grid_search",
        "fft3d",
        "dispersion_cuda",
        "crystal_shape",
    }  # dear, or nothing without parameters
    for name in registry().names(slot):
        if name not in elsewhere and not registry().load(slot, name).unavailable():
            call(slot, name)


@pytest.mark.parametrize("slot", [s for s in SLOTS if s != "observer"])
def test_every_hook_has_a_check(slot):
    from spindle.plugins.loading import hooks_of

    spec = spec_of(slot)
    assert set(hooks_of(spec)) == set(spec.checks)


def test_views_share_memory_and_cannot_be_written():
    boxes = Shoeboxes.empty(np.zeros(2, np.int64), np.array([[0, 2, 0, 3, 0, 1]] * 2, np.int32))
    table = ReflectionTable({"panel": np.arange(3), "flags": np.zeros(3)})
    for before, after in ((boxes.data, read_only(boxes).data), (table["flags"], read_only(table)["flags"])):
        assert np.shares_memory(before, after)
        with pytest.raises(ValueError, match="read-only"):
            after[0] = 1
        before[0] = 1
    view = read_only(table)
    view["flags"] = np.ones(3)  # a column of the view, not of the table
    assert table["flags"].tolist() == [1, 0, 0]
