from __future__ import annotations

import sys
from importlib import metadata

import pytest

from spindle.cli.programs import in_order_of_use
from spindle.plugins import DuplicatePlugin, UnknownPlugin, refresh, registry, scan
from spindle.plugins.discovery import parse_entry_points, parse_metadata


def test_agrees_with_importlib_metadata():
    expected = {
        (e.group.removeprefix("spindle."), e.name, e.value)
        for group in metadata.entry_points().groups
        for e in metadata.entry_points(group=group)
        if e.group.startswith("spindle.")
    }
    assert {(i.slot, i.name, i.target) for i in registry().infos} == expected
    for info in registry().infos:
        assert info.version == metadata.version(info.distribution)
        assert info.summary == metadata.metadata(info.distribution)["Summary"]


def test_nothing_is_imported(install):
    install("broken_plugins/import_error")
    assert "import_error" in registry().names("executor")
    assert "outside_import_error" not in sys.modules


def test_the_first_of_two_copies_of_a_distribution_counts(tmp_path):
    for folder, version in (("a", "1.0"), ("b", "2.0")):
        info = tmp_path / folder / f"thing-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Name: thing\nVersion: {version}\n")
        (info / "entry_points.txt").write_text("[spindle.background]\nthing = thing:Thing\n")
    found = scan([str(tmp_path / "b"), str(tmp_path / "a"), str(tmp_path / "absent")])
    assert [(i.name, i.version) for i in found] == [("thing", "2.0")]


def test_entry_points_of_other_groups_are_left_alone():
    text = "[console_scripts]\nx = y:z\n\n[spindle.background]\nglm = a.b:C [extra]\n# comment\n[other]\nq = r:s\n"
    assert list(parse_entry_points(text)) == [("background", "glm", "a.b:C")]


def test_metadata_gives_the_range_of_the_host_only():
    text = (
        "Name: x\nVersion: 1\nSummary: does it\n"
        "Requires-Dist: spindle-background-glm>=2\nRequires-Dist: Spindle_Diffraction.base[testing] (>=0.1,<2)\n"
        "Requires-Dist: spindle-diffraction>=3\n\nbody"
    )
    found = parse_metadata(text)
    assert (found.name, found.version, found.summary, found.requires) == ("x", "1", "does it", [">=0.1,<2"])


def test_unknown_names_list_what_is_installed_and_what_to_do():
    with pytest.raises(UnknownPlugin) as error:
        registry().find("executor", "thread", "mp.method")
    for part in (
        "mp.method=thread",
        "serial, threads",
        "Did you mean threads",
        "spindle plugins",
    ):
        assert part in str(error.value)
    assert "pip install" not in str(error.value)


def test_duplicates_name_both_distributions(install):
    install("broken_plugins/duplicate")
    with pytest.raises(
        DuplicatePlugin, match=r"x=twin: .*outside-twin-one 1\.0 and outside-twin-two 2\.0.*pip uninstall"
    ):
        registry().find("executor", "twin", "x")


def test_programs_are_listed_by_the_place_that_they_say(tmp_path, monkeypatch):
    for name, keywords in (("alpha", ""), ("omega", "Keywords: crystals,step:1\n"), ("beta", "Keywords: steps\n")):
        info = tmp_path / f"outside_{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Name: outside-{name}\nVersion: 1.0\n{keywords}\nbody\n")
        (info / "entry_points.txt").write_text(f"[spindle.program]\noutside_{name} = outside_{name}:Program\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    refresh()
    try:
        outside = [i.name for i in in_order_of_use() if i.name.startswith("outside_")]
    finally:
        monkeypatch.undo()
        refresh()
    assert outside == ["outside_omega", "outside_alpha", "outside_beta"]
