"""What distributions share has one source, what a room needs is found in its code, and what is built says so."""

from __future__ import annotations

import email
import re
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import spindle
from spindle.execution.runner import effective_params, make_host
from spindle.params import Params, Plugin, walk
from spindle.params.resolve import build
from spindle.plugins import registry

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import needs  # noqa: E402
import pyprojects  # noqa: E402
import release  # noqa: E402
from rooms import META, Distribution, Packages, distributions  # noqa: E402

FOUND = distributions()
PACKAGES = Packages.read()


def project_of(folder: str) -> dict:
    return tomllib.loads((ROOT / folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def first_party(requirements: list[str]) -> set[str]:
    return {name for r in requirements if (name := pyprojects.name_of(r)).startswith("spindle-")}


def test_the_version_stands_in_packages_toml_alone():
    assert spindle.__version__ == PACKAGES.group_of("framework").version
    for d in FOUND:
        assert project_of(d.folder)["version"] == PACKAGES.group_of(d.folder).version
    written = [
        f.relative_to(ROOT).as_posix()
        for f in (ROOT / "framework" / "src").rglob("*.py")
        if re.search(r'(?m)^(__)?version(__)? = "\d', f.read_text(encoding="utf-8"))
    ]
    assert written == ["framework/src/spindle/_version.py"]


def room(tmp_path, text, folder="plugins/background/mine", code="", entry_points=True):
    package = folder.replace("plugins/", "spindle_").replace("libraries/", "spindle_lib_").replace("/", "_")
    source = tmp_path / folder / "src" / package
    source.mkdir(parents=True, exist_ok=True)
    (source / "__init__.py").write_text(code)
    (source / "py.typed").touch()
    (tmp_path / folder / "pyproject.toml").write_text(text)
    project = tomllib.loads(text)["project"]
    points = {f"spindle.{folder.split('/')[1]}": {"mine": f"{package}:Mine"}} if entry_points else {}
    return Distribution(folder, package.replace("_", "-"), package, points, project)


BY_HAND = """[build-system]
requires = ["setuptools"]

[project]
name = "anything"
description = "Mine"
version = "7.0"
dependencies = ["spindle", "numpy>=2", "spindle-lib-ice"]
keywords = ["a", "b"]

[project.optional-dependencies]
fast = ["cupy"]

[tool.hatch.build.targets.wheel.force-include]
"data.txt" = "data.txt"
"""


def test_what_is_shared_is_written_and_what_is_the_rooms_own_is_kept(tmp_path):
    d = room(tmp_path, BY_HAND)
    text = pyprojects.room_text(d, ["spindle-centroid-simple"], PACKAGES, FOUND, BY_HAND)
    content = tomllib.loads(text)
    project = content["project"]
    assert project["name"] == "spindle-background-mine"
    assert project["version"] == PACKAGES.group_of(d.folder).version
    assert project["dependencies"] == [
        "spindle-diffraction-base~=0.1", "spindle-lib-ice~=0.1", "spindle-centroid-simple~=0.1", "numpy>=2",
    ]  # fmt: skip
    assert (project["description"], project["keywords"]) == ("Mine", ["a", "b"])
    assert project["optional-dependencies"] == {"fast": ["cupy"]}
    assert content["build-system"]["build-backend"] == "hatchling.build"
    wheel = content["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel == {"packages": ["src/spindle_background_mine"], "force-include": {"data.txt": "data.txt"}}
    again = Distribution(d.folder, d.name, d.package, d.entry_points, project)
    assert pyprojects.room_text(again, ["spindle-centroid-simple"], PACKAGES, FOUND, text) == text


def test_comments_that_would_be_lost_are_said(tmp_path):
    d = room(tmp_path, BY_HAND.replace("keywords", "# words for lists\nkeywords"))
    assert any("comments in [project]" in problem for problem in pyprojects.problems_of_text(d, tmp_path))
    d = room(tmp_path, BY_HAND + "# the data of the lab\n")
    assert pyprojects.problems_of_text(d, tmp_path) == []


LIBRARY = """
from spindle.params import Params, Plugin
from .deep import Deep
class Unused(Params):
    a = Plugin("outlier", default="null")
class Tree(Params):
    class inner(Deep):
        pass
"""


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        ("from spindle.params import Plugin\na = Plugin('outlier', default='tukey')", {("outlier", "tukey")}),
        ("a = Plugin('outlier', 'tukey', help='x')", {("outlier", "tukey")}),
        ("a = Plugin('scaling', default=Auto, in_scope_if_auto=('KB', 'physical'))", {("scaling", "KB"), ("scaling", "physical")}),
        ("a = Plugin('outlier', default=None)", set()),
        ("def f(self):\n    return self.context.algorithm('indexing', 'fft1d')", {("indexing", "fft1d")}),
        ("def f(self, name):\n    return self.context.algorithm('indexing', name)", set()),
        ("class P:\n    b = ScopeOf('program', 'refine')", {("program", "refine")}),
        ("def f(host):\n    return host.load('exporter', 'mtz').Params", {("exporter", "mtz")}),
        ("from spindle_lib_ours import Tree\nclass P(Tree): pass", {("centroid", "simple")}),
        ("import spindle_lib_ours\nclass P(spindle_lib_ours.Tree): pass", {("centroid", "simple")}),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from spindle_lib_ours import Tree", set()),
    ],
)  # fmt: skip
def test_needs_are_found_in_code(tmp_path, code, wanted):
    text = '[project]\nname = "x"\n'
    library = room(tmp_path, text, "libraries/ours", LIBRARY, entry_points=False)
    deep = (
        "from spindle.params import Params, Plugin\nclass Deep(Params):\n    c = Plugin('centroid', default='simple')\n"
    )
    (tmp_path / "libraries/ours/src/spindle_lib_ours/deep.py").write_text(deep)
    mine = room(tmp_path, text, "plugins/program/mine", code)
    assert needs.Code([library, mine], tmp_path).needs_of("spindle_program_mine") == wanted


def closure(name: str) -> set[str]:
    """Distributions of this repository that come with one."""
    by_name = {d.name: d for d in FOUND}
    left, seen = [name], {name}
    while left:
        new = first_party(project_of(by_name[left.pop()].folder)["dependencies"]) - seen
        seen |= new
        left += new
    return seen


@pytest.mark.parametrize("d", [d for d in FOUND if d.entry_points], ids=lambda d: d.name)
def test_every_default_of_a_plugin_comes_with_it(d):
    """Asked of the parameters as they are when a run begins, not of the code."""
    left_out = {needs.pair(p) for plugins in PACKAGES.table("can-do-without").values() for p in plugins}
    for slot, name in d.plugins:
        cls = registry().load(slot, name)
        tree = effective_params(name, [], make_host()) if slot == "program" else build(cls.Params or Params)
        for entry in walk(tree, templates=True):
            if isinstance(entry.leaf, Plugin):
                values = entry.default if isinstance(entry.default, tuple | list) else [entry.default]
                for value in [*values, *entry.leaf.in_scope_if_auto]:
                    if isinstance(value, str) and (entry.leaf.slot, value) not in left_out:
                        provider = registry().find(entry.leaf.slot, value).distribution
                        assert provider in closure(d.name), f"{entry.path}={value} needs {provider}"


def test_the_meta_package_holds_every_room_once_in_base_or_extra():
    project = project_of(f"packages/{META}")
    extras = {k: first_party(v) for k, v in project["optional-dependencies"].items()}
    everything = first_party(project["dependencies"]).union(*extras.values()) - {META}
    assert everything == {d.name for d in FOUND if d.kind != "libraries"}
    base = first_party(project["dependencies"])
    for extra, settings in PACKAGES.table("extras").items():
        assert not settings.get("apart") or not extras[extra] & base
    assert project["optional-dependencies"]["all"] == [f"{META}[{','.join(sorted(set(extras) - {'all'}))}]"]


@pytest.mark.parametrize(
    ("version", "what", "answer"),
    [
        ("0.1.0", "patch", "0.1.1"),
        ("0.1.2", "minor", "0.2.0"),
        ("0.9", "major", "1.0.0"),
        ("0.1.0", "0.2.0rc1", "0.2.0rc1"),
    ],
)
def test_versions_are_raised(version, what, answer):
    assert release.next_version(version, what) == answer


@pytest.mark.parametrize("what", ["0.0.9", "0.1.0", "later"])
def test_a_version_that_is_no_later_one_is_refused(what):
    with pytest.raises(SystemExit, match=what):
        release.next_version("0.1.0", what)


def test_raising_one_group_leaves_the_others():
    text = (ROOT / "packages.toml").read_text(encoding="utf-8")
    before, after = tomllib.loads(text), tomllib.loads(release.bumped(text, "host", "minor"))
    assert after["groups"].pop("host") == {**before["groups"].pop("host"), "version": "0.2.0"}
    assert after == before
    raised = tomllib.loads(release.bumped(text, "plugins", "1.2.0"))["groups"]["plugins"]
    assert (raised["version"], raised["wanted"]) == ("1.2.0", "~=1.2")
    with pytest.raises(SystemExit, match="no group plugin; there are host"):
        release.bumped(text, "plugin", "minor")


def test_what_is_built_says_what_it_needs(tmp_path):
    pytest.importorskip("hatchling")
    made = release.build(tmp_path, folders=["plugins/refiner/centroid", f"packages/{META}"])
    assert sorted(made) == sorted(p.name for p in tmp_path.iterdir())
    assert {n.partition("-")[0] for n in made} == {"spindle_refiner_centroid", "spindle_diffraction"} and len(made) == 4
    with zipfile.ZipFile(next(tmp_path.glob("spindle_refiner_centroid*.whl"))) as wheel:
        metadata = email.message_from_bytes(wheel.read(next(n for n in wheel.namelist() if n.endswith("/METADATA"))))
    requires = metadata.get_all("Requires-Dist")
    assert {"spindle-diffraction-base~=0.1", "spindle-outlier-mcd~=0.1"} <= set(requires)
    assert metadata["Author"] == "Spindle developers"


def test_what_rooms_need_of_others_names_no_room_and_installs_them():
    """An index is never asked for a room: somebody else could have put one of that name there."""
    found = release.needs_of_others()
    rooms = distributions()
    assert not [r for r in found if r.startswith("spindle")]
    assert any(r.startswith("numba") for r in found) and len(found) == len(set(found))
    of_rooms = {r for d in rooms for r in d.project["dependencies"] if not r.startswith("spindle-")}
    assert of_rooms == set(found)
