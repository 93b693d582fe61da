"""Names have one rule; what cannot work is said before a run; nobody is told to install a name that anybody may register."""

from __future__ import annotations

import json
import sys

import pytest

from spindle.errors import PluginError
from spindle.plugins import MisnamedPlugin, UnknownPlugin, names, refresh, registry
from spindle.plugins.discovery import PluginInfo
from spindle.plugins.host import PluginHost
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


def test_the_distribution_called_after_the_plugin_provides_it(install, caplog):
    install("broken_plugins/second_glm")
    assert registry().find("background", "glm").distribution == "spindle-background-glm"
    for _ in range(2):
        assert registry().load("background", "glm").__module__.startswith("spindle_background_glm")
    assert caplog.text.count("outside-glm") == 2, "one warning, which names it twice"
    assert "pip uninstall outside-glm" in caplog.text
    states = {r["distribution"]: r["state"] for r in registry().rows() if r["name"] == "glm"}
    assert states == {"spindle-background-glm": "ok", "outside-glm": "duplicate"}


def test_of_two_strangers_with_one_name_the_one_called_after_it_is_taken():
    one, two, three = (
        PluginInfo("background", "my_own", f"{m}:Model", d, "1.0")
        for m, d in (("a", "lab-plugins"), ("b", "Spindle_Background.my-own"), ("c", "others"))
    )
    assert Registry([one, two, three]).find("background", "my_own") == two
    with pytest.raises(PluginError, match=r"twice, by lab-plugins 1.0 and others 1.0"):
        Registry([one, three]).find("background", "my_own")


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


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """What puts a distribution with a module beside it on the path and gives the message about its plugin."""

    def message(
        code: str, target: str, name: str = "mine", metadata: str = "", url: str = "", call: bool = False
    ) -> str:
        (tmp_path / "mine_1.py").write_text(code)
        folder = tmp_path / "mine-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Name: mine\nVersion: 1.0\n{metadata}")
        (folder / "entry_points.txt").write_text(f"[spindle.background]\n{name} = {target}\n")
        if url:
            (folder / "direct_url.json").write_text(json.dumps({"archive_info": {}, "url": url}))
        monkeypatch.syspath_prepend(str(tmp_path))
        refresh()
        (info,) = (i for i in registry().infos if i.distribution == "mine")
        return registry().diagnose(info, call=call)[1]

    yield message
    monkeypatch.undo()
    refresh()
    sys.modules.pop("mine_1", None)


MINE = (
    "from spindle.contracts import Algorithm, hookimpl\n\n\nclass Mine(Algorithm):\n"
    "    @hookimpl\n    def estimate_background(self, shoeboxes):\n        return None\n"
)


SMALL = MINE.replace("return None", 'raise UserError("too small")').replace(
    "\n\n\nclass", "\nfrom spindle.errors import UserError\n\n\nclass", 1
)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("mine_1", "its entry point 'mine_1' names no class, as in module:Class"),
        ("mine_1:Min", "mine_1.py has no 'Min', which its entry point mine_1:Min names, did you mean Mine?"),
        ("mine_1:Other", "mine_1.py has no 'Other', which its entry point mine_1:Other names; its classes are Mine."),
    ],
)
def test_an_entry_point_without_its_class_is_named_with_the_file(outside, target, expected):
    assert expected in outside(MINE, target)


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ("Requires-Dist: nothing-of-this-name>=2\n", "which mine declares as a dependency and which is not installed"),
        ("Requires-Dist: numpy\n", "which is none of the dependencies that mine declares (numpy)"),
    ],
)
def test_a_missing_module_is_said_to_be_declared_or_not(outside, metadata, expected):
    assert expected in outside("import nothing_of_this_name\n", "mine_1:Mine", metadata=metadata)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("", "Next: install mine again from where you have it, or ask its author"),
        ("file:///home/me/my%20wheels/mine.whl", "Next: pip install --force-reinstall /home/me/my wheels/mine.whl"),
        ("https://example.org/mine.whl", "Next: pip install --force-reinstall https://example.org/mine.whl"),
    ],
)
def test_no_index_is_asked_for_the_names_of_strangers(outside, url, expected):
    message = outside("import nothing_of_this_name\n", "mine_1:Mine", url=url)
    assert expected in message
    assert "force-reinstall mine" not in message


def test_a_wrong_default_is_named_with_its_value_and_help(outside):
    code = MINE.replace(
        "    @hookimpl",
        '    class Params(Params):\n        weight = Float(-2, min=0, help="How heavy.")\n\n    @hookimpl',
    ).replace("hookimpl\n", "hookimpl\nfrom spindle.params import Float, Params\n", 1)
    assert "the default -2 of a parameter (How heavy.): must be at least 0" in outside(code, "mine_1:Mine")


def test_a_plugin_that_would_hide_a_parameter_is_not_called_fine(outside, capsys):
    from spindle.cli.listing import plugins_command

    outside(SMALL, "mine_1:Mine", name="algorithm")
    assert plugins_command(["--check", "algorithm"]) == 2
    message = capsys.readouterr().err
    assert "its parameters would be integration.background.algorithm in integrate" in message
    assert "Next: its author has to give it another name, or another scope" in message


def test_what_a_plugin_may_ask_for_is_looked_at_before_the_run():
    two = [PluginInfo("background", "glm", "a:B", d, "1.0") for d in ("some-plugins", "other-plugins")]
    plugins = Registry([*(i for i in registry().infos if i.name != "glm"), *two])
    with pytest.raises(PluginError, match="'glm' is provided twice"):
        PluginHost(plugins=plugins).load("background", "Auto")
    PluginHost(plugins=plugins).load("background", "simple")


def test_known_names_are_those_of_the_repository():
    assert names.known()["background"]["glm"] == "spindle-background-glm"
    info = PluginInfo("background", "glm", "x:Y", "somebody-elses", "1.0")
    assert not names.is_first_party(info)
