from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from spindle.contracts import CONTRACTS, SLOTS
from spindle.errors import PluginError
from spindle.plugins import BrokenPlugin, IncompatiblePlugin, registry
from spindle.plugins.discovery import PluginInfo
from spindle.plugins.loading import check_contract, check_version
from spindle.plugins.registry import SOUND, Registry

BROKEN = [
    (
        "import_error",
        BrokenPlugin,
        [
            "outside-import-error 1.2",
            "ModuleNotFoundError",
            "a_library_that_nobody_has",
            "is none of the dependencies",
            "from where you have it",
        ],
    ),
    (
        "missing_package",
        BrokenPlugin,
        ["outside-missing-package 1.0", "outside_package_that_went_away", "from where you have it"],
    ),
    (
        "wrong_signature",
        IncompatiblePlugin,
        [
            "outside-wrong-signature 0.3",
            "priority",
            "n_workers",
            "install a later version of outside-wrong-signature from where you have it",
        ],
    ),
    (
        "unknown_hook",
        IncompatiblePlugin,
        ["outside-unknown-hook 0.5", "map_orderly", "map_ordered", "install a later version of outside-unknown-hook"],
    ),
    ("missing_hook", IncompatiblePlugin, ["outside-missing-hook 0.4", "does not implement map_ordered", "@hookimpl"]),
    (
        "wrong_version",
        IncompatiblePlugin,
        ["outside-wrong-version 9.0", "needs spindle-diffraction-base <100,>=99", "pip install --upgrade"],
    ),
    (
        "newer_contract",
        IncompatiblePlugin,
        [
            "outside-newer-contract 0.6",
            "written for contract 7 of the slot 'executor'",
            "has contract 1",
            "pip install --upgrade spindle-diffraction-base",
        ],
    ),
    ("not_a_class", IncompatiblePlugin, ["outside-not-a-class 1.0", "not a class"]),
]


@pytest.mark.parametrize(("name", "kind", "parts"), BROKEN, ids=[b[0] for b in BROKEN])
def test_each_failure_has_its_own_message(install, name, kind, parts):
    install(f"broken_plugins/{name}")
    with pytest.raises(kind) as error:
        registry().load("executor", name, "mp.method")
    for part in [f"mp.method={name}", f"executor '{name}'", *parts]:
        assert part in str(error.value)


def test_a_plugin_for_an_earlier_contract_is_the_one_to_upgrade(install, monkeypatch):
    install("trial_plugins")
    monkeypatch.setitem(CONTRACTS, "executor", 2)
    with pytest.raises(IncompatiblePlugin) as error:
        check_contract(registry().find("executor", "parcels"), 1)
    assert "contract 1 of the slot 'executor'" in str(error.value)
    assert "install a later version of trial from where you have it, or ask its author" in str(error.value)


def test_every_slot_has_a_contract_number():
    assert CONTRACTS.keys() == SLOTS.keys()
    assert all(isinstance(n, int) and n >= 1 for n in CONTRACTS.values())


def test_states_tell_the_failures_apart(install):
    install(*(f"broken_plugins/{name}" for name, _, _ in BROKEN), "broken_plugins/duplicate")
    states = {r["name"]: r["state"] for r in registry().rows(check=True) if r["slot"] == "executor"}
    expected = {name: "broken" if kind is BrokenPlugin else "incompatible" for name, kind, _ in BROKEN}
    for name, state in {**expected, "twin": "duplicate", "serial": "ok", "threads": "ok"}.items():
        assert states[name] == state, name


def test_what_needs_no_import_is_known_without_one(install):
    install("broken_plugins/missing_package", "broken_plugins/wrong_version", "broken_plugins/import_error")
    states = {r["name"]: r["state"] for r in registry().rows() if r["slot"] == "executor"}
    assert (states["missing_package"], states["wrong_version"], states["import_error"]) == (
        "broken",
        "incompatible",
        "ok",
    )


def test_strictness_reports_all_failures(install):
    install("broken_plugins/import_error", "broken_plugins/missing_hook")
    with pytest.raises(
        PluginError, match=r"(?s)outside-import-error.*outside-missing-hook|outside-missing-hook.*outside-import-error"
    ):
        registry().check_all()


def test_what_is_sound_is_not_tried_again_by_this_process_and_its_children(install, monkeypatch):
    install("trial_plugins")
    monkeypatch.setenv(SOUND, "")
    tried = []
    diagnose = Registry.diagnose
    monkeypatch.setattr(Registry, "diagnose", lambda self, info: (tried.append(info.name), diagnose(self, info))[1])
    mine = [info for info in registry().infos if info.distribution == "trial"]
    Registry(mine).check_all()
    assert sorted(tried) == sorted(info.name for info in mine)
    code = (
        "from spindle.plugins.registry import Registry, registry; import sys\n"
        "Registry([i for i in registry().infos if i.distribution == 'trial']).check_all(); print('trial_plugins' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(mine[0].location).parent)}

    def child(sound: str) -> str:
        settings = environment | {SOUND: sound}
        return subprocess.run([sys.executable, "-c", code], env=settings, capture_output=True, text=True).stdout.strip()

    assert [child(os.environ[SOUND]), child("of another installation")] == ["False", "True"]
    tried.clear()
    Registry(mine).check_all()
    assert tried == []
    install("broken_plugins/import_error")
    with pytest.raises(PluginError, match="outside-import-error"):  # one more plugin: all of them again
        Registry([*mine, *registry().named("import_error")]).check_all()


@pytest.mark.parametrize(
    ("version", "clause", "answer"),
    [
        ("0.1.0", ">=0.1", True),
        ("0.1.0", "<0.1", False),
        ("0.10.0", ">=0.9", True),
        ("1.2.3", "~=1.2", True),
        ("2.0", "~=1.2", False),
        ("1.3", "~=1.2.1", False),
        ("1.2.3", "==1.2.*", True),
        ("1.2.3", "!=1.2.*", False),
        ("1.2", "==1.2.0", True),
        ("1.2.3", ">=1.2, <1.3", True),
        ("1.3.0.dev1", "~=1.2", True),
        ("1.3.0.dev1", ">=1.3", False),
    ],
)
def test_version_ranges(monkeypatch, version, clause, answer):
    monkeypatch.setattr("spindle.plugins.loading.__version__", version)
    info = PluginInfo("background", "mine", "mine:Mine", "my-plugin", "1.0", requires=(clause,))
    if answer:
        check_version(info)
    else:
        with pytest.raises(
            IncompatiblePlugin, match=f"my-plugin 1.0 needs spindle-diffraction-base .* this is {version}"
        ):
            check_version(info)


def test_a_range_that_is_none_is_said_to_be_none():
    info = PluginInfo("background", "mine", "mine:Mine", "my-plugin", "1.0", requires=("~=1",))
    with pytest.raises(IncompatiblePlugin, match=r"my-plugin 1\.0 needs .* ~=1, which is no range"):
        check_version(info)
