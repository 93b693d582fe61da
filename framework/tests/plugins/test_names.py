"""Names have one rule; what cannot work is said before a run; nobody is told to install a name that anybody may register."""

from __future__ import annotations

import json

import pytest

from spindle.errors import PluginError
from spindle.plugins import MisnamedPlugin, UnknownPlugin, names, refresh, registry
from spindle.plugins.discovery import PluginInfo
from spindle.plugins.registry import Registry


@pytest.fixture
def misnamed(install):
    install("broken_plugins/misnamed")


@pytest.mark.usefixtures("misnamed")
@pytest.mark.parametrize(
    ("slot", "name", "reason"),
    [
        ("background", "my-model", "such as my_model"),
        ("background", "None", "such as none"),
        ("background", "GLM", "such as glm"),
        ("background", "auto", "auto is a value of parameters"),
        ("program", "help", "`spindle help` is a command of the host"),
        ("program", "plugins", "`spindle plugins` is a command of the host"),
        ("program", "My-Prog", "such as my_prog"),
    ],
)
def test_a_name_against_the_rule_is_said_with_a_better_one(slot, name, reason):
    info = next(i for i in registry().infos if (i.slot, i.name) == (slot, name))
    for check in (False, True):
        state, message = registry().diagnose(info, check)
        assert state == "misnamed"
        assert reason in message
        assert "outside-misnamed 1.1" in message
    assert registry().named(name)  # `plugins --check my-model` finds it
    assert name not in registry().names(slot)
    with pytest.raises(MisnamedPlugin, match="its author has to give it another name"):
        registry().find(slot, name)


@pytest.mark.usefixtures("misnamed")
@pytest.mark.parametrize(("slot", "meant"), [("backgrounds", "background"), ("exporters", "exporter")])
def test_a_misspelt_slot_is_said(slot, meant):
    info = next(i for i in registry().infos if i.slot == slot)
    state, message = registry().diagnose(info, check=False)
    assert state == "incompatible"
    assert f"entry point group spindle.{slot}), did you mean {meant}?" in message


def test_slots_of_strangers_are_their_own_matter(install):
    install("trial_plugins")
    assert {registry().state(i, check=True) for i in registry().infos if i.slot == "trial_slot"} == {"ok"}


def test_our_own_names_stay():
    for slot, name in (("scaling", "KB"), ("background", "Auto")):
        assert registry().find(slot, name).name == name


@pytest.mark.parametrize("name", ["cliped_mean", "glmm", "gim", "nothing_like_it", "spindle", "../x"])
def test_a_misspelling_advises_no_name_that_is_not_known(name):
    with pytest.raises(UnknownPlugin) as error:
        registry().find("background", name)
    assert "pip install" not in str(error.value)


def test_a_known_plugin_that_is_absent_is_advised():
    few = Registry([i for i in registry().infos if i.name != "glm"])
    for name in ("glm", "glmm"):
        with pytest.raises(UnknownPlugin) as error:
            few.find("background", name)
        assert "`pip install spindle-background-glm` brings it" in str(error.value)


def test_the_newcomer_is_uninstalled_of_two_with_one_name(install):
    install("broken_plugins/second_glm")
    with pytest.raises(PluginError, match=r"pip uninstall outside-glm\)"):
        registry().find("background", "glm")


UNMADE = [
    ("no_init", "broken", ["from_params(params, context) failed with TypeError", "outside_unmade.py:7"]),
    ("init_raises", "broken", ["failed with FileNotFoundError", "/nowhere/licence", "outside_unmade.py:19"]),
    ("not_derived", "incompatible", ["NotDerived is not derived from spindle.contracts.Algorithm"]),
    ("wrong_params", "incompatible", ["WrongParams.Params is", "not derived from spindle.params.Params"]),
    ("ends_process", "broken", ["SystemExit", "licence expired", "outside_exits.py:3"]),
    ("bad_syntax", "broken", ["SyntaxError", "outside_syntax.py:3"]),
    ("bad_default", "broken", ["at least 0", "outside_default.py:7"]),
]


@pytest.mark.parametrize(("name", "state", "parts"), UNMADE, ids=[u[0] for u in UNMADE])
def test_what_cannot_be_made_is_not_called_fine(install, name, state, parts):
    install("broken_plugins/cannot_be_made")
    found = registry().diagnose(registry().find("background", name))
    assert found[0] == state
    for part in (*parts, f"background '{name}' of outside-unmade 0.7"):
        assert part in found[1]


def test_what_answers_wrongly_is_not_called_fine(install):
    install("broken_plugins/breaks_contract")
    for name, part in (("background_nan", "background is nan"), ("background_raises", "KeyError")):
        info = registry().find("background", name)
        assert registry().diagnose(info)[0] == "ok"
        state, message = registry().diagnose(info, call=True)
        assert state == "broken"
        assert part in message
        assert "outside-breaks 2.0" in message


def test_an_editable_installation_is_mended_at_its_source(tmp_path, monkeypatch):
    (tmp_path / "mine_0.py").write_text("import nothing_of_this_name\n")
    folder = tmp_path / "mine-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Name: mine\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[spindle.background]\nmine = mine_0:Mine\ngone = gone_0:Gone\n")
    (folder / "direct_url.json").write_text(json.dumps({"dir_info": {"editable": True}, "url": tmp_path.as_uri()}))
    monkeypatch.syspath_prepend(str(tmp_path))
    refresh()
    messages = {i.name: registry().diagnose(i)[1] for i in registry().infos if i.distribution == "mine"}
    monkeypatch.undo()
    refresh()
    assert f"mend {tmp_path / 'mine_0.py'}:1" in messages["mine"]
    assert f"mend {tmp_path}" in messages["gone"]
    assert not any("force-reinstall" in m for m in messages.values())


def test_known_names_are_those_of_the_repository():
    assert names.known()["background"]["glm"] == "spindle-background-glm"
    info = PluginInfo("background", "glm", "x:Y", "somebody-elses", "1.0")
    assert not names.is_first_party(info)
