"""What holds for every first-party plugin, and that each also passes the contract of its slot."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
import workspace

from spindle.contracts import SLOTS
from spindle.execution.runner import effective_params, make_host
from spindle.params import walk
from spindle.params.short_names import short_names_of
from spindle.plugins import PluginInfo, registry, spec_of
from spindle.testing import PluginContract

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent.parent
SLOTS_WITHOUT_VALUES = {"program", "observer"}  # tested one by one: programs differ in what they do


def first_party() -> list[PluginInfo]:
    names = {d.name for d in workspace.distributions(ROOT)}
    return [info for info in registry().infos if info.distribution in names]


@pytest.mark.parametrize("info", first_party(), ids=lambda i: f"{i.slot}-{i.name}")
class TestEveryPlugin(PluginContract):
    """The general contract, for all plugins at once."""


def test_every_distribution_is_installed():
    installed = {(i.slot, i.name, i.distribution) for i in registry().infos}
    missing = [
        f"{d.name} ({slot} {name})"
        for d in workspace.distributions(ROOT)
        for group, names in d.entry_points.items()
        for slot in [group.removeprefix("spindle.")]
        for name in names
        if (slot, name, d.name) not in installed
    ]
    assert not missing, f"not installed: {', '.join(missing)}; pip install -r workspace.txt"


@pytest.mark.parametrize("info", first_party(), ids=lambda i: f"{i.slot}-{i.name}")
def test_every_plugin_has_a_conformance_test_of_its_slot(info):
    if info.slot in SLOTS_WITHOUT_VALUES:
        return
    (folder,) = (d.folder for d in workspace.distributions(ROOT) if d.name == info.distribution)
    files = [FOLDER / f"test_{info.slot}.py", *sorted((ROOT / folder).glob("tests/test_*.py"))]
    texts = [file.read_text() for file in files if file.exists()]
    tested = any(f"spindle.testing.{info.slot} " in t and re.search(rf"""["']{info.name}["']""", t) for t in texts)
    assert tested, f"subclass the contract of spindle.testing.{info.slot} for {info.name} in {folder}/tests"


@pytest.mark.parametrize("name", sorted(i.name for i in first_party() if i.slot == "program"))
def test_short_names_of_a_program_set_parameters_that_it_has(name):
    """Each is a word of its own that no parameter of the outermost scope has, and all its parameters are there."""
    params = effective_params(name, [], make_host())
    paths = {e.path for e in walk(params, templates=True)}
    for word, short in short_names_of(type(params)).items():
        assert set(short.paths) <= paths, f"{word} sets {set(short.paths) - paths}, which {name} lacks"
        assert word not in paths and short.help


@pytest.mark.parametrize("slot", sorted({i.slot for i in first_party()} - SLOTS_WITHOUT_VALUES))
def test_every_slot_has_a_contract_for_strangers(slot):
    assert importlib.util.find_spec(f"spindle.testing.{slot}"), f"spindle.testing.{slot} is missing"


@pytest.mark.parametrize("slot", sorted({i.slot for i in first_party()}))
def test_every_slot_in_use_has_documented_hooks(slot):
    assert slot in SLOTS
    spec = spec_of(slot)
    assert (spec.__doc__ or "").strip()
    hooks = {n: f for n, f in vars(spec).items() if hasattr(f, "spindle_spec")}
    assert hooks
    for name, function in hooks.items():
        assert len(function.__doc__ or "") > 40, f"{spec.__name__}.{name} needs a docstring with shapes and units"


def test_every_first_party_plugin_has_its_own_state_ok():
    wrong = [message for state, message in (registry().diagnose(i) for i in first_party()) if state != "ok"]
    assert not wrong, "\n".join(wrong)
