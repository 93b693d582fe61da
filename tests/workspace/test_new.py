"""A new room works as it is: it passes the conformance tests of its slot, the linters, the type checker and the workspace check."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from spindle.cli.main import main
from spindle.cli.skeleton import Skeleton
from spindle.contracts import SLOTS
from spindle.errors import UserError
from spindle.plugins import registry

ROOT = Path(__file__).resolve().parents[2]

_spec = importlib.util.spec_from_file_location("public_surface", Path(__file__).with_name("test_public_surface.py"))
public = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(public)

ALL = [*sorted(SLOTS), "library"]


@pytest.fixture(scope="module")
def rooms(tmp_path_factory):
    """One new package for every slot, and one that asks a named plugin."""
    folder = tmp_path_factory.mktemp("rooms")
    for skeleton in [*(Skeleton(slot, "trying") for slot in ALL), Skeleton("background", "asking", like="simple")]:
        words = [skeleton.slot, skeleton.name, f"folder={folder / skeleton.distribution}"]
        assert main(["new-plugin", *words, *([f"like={skeleton.like}"] if skeleton.like else [])]) == 0
    return folder


def pretend_installed(room: Path) -> str:
    """Give the sources the metadata that pip would write; return the folder for the path."""
    project = tomllib.loads((room / "pyproject.toml").read_text())["project"]
    info = room / "src" / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(exist_ok=True)
    requires = "".join(f"Requires-Dist: {r}\n" for r in project["dependencies"])
    head = f"Metadata-Version: 2.4\nName: {project['name']}\nVersion: {project['version']}\nSummary: {project['description']}\n"
    (info / "METADATA").write_text(head + requires)
    groups = project.get("entry-points", {}).items()
    lines = [f"[{group}]\n" + "".join(f"{n} = {t}\n" for n, t in names.items()) for group, names in groups]
    (info / "entry_points.txt").write_text("\n".join(lines))
    return str(room / "src")


def call(*command: str, cwd: Path, path: list[str] | None = None) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or [])}
    done = subprocess.run(
        [sys.executable, "-P", "-m", *command], cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.long
def test_those_with_code_of_their_own_pass_the_tests_that_they_come_with(rooms):
    """And of those that ask another plugin, which passes them by itself, two: the others would take minutes."""
    texts = {p.stem for p in (ROOT / "framework/src/spindle/cli/skeletons").glob("*.txt")} & {*ALL}
    tried = [Skeleton(slot, "trying").distribution for slot in [*sorted(texts), "centroid"]]
    path = [pretend_installed(room) for room in sorted(rooms.iterdir())]
    options = ["-q", "--import-mode=importlib", "-p", "no:cacheprovider", "-W", "error", f"--rootdir={rooms}"]
    text = call("pytest", *options, "--confcutdir=.", *tried, "spindle-background-asking", cwd=rooms, path=path)
    passed = int(re.search(r"(\d+) passed", text).group(1))
    assert passed > 10 * len(SLOTS)  # the contracts, not only that files can be read


def test_each_is_an_installed_plugin_in_good_order(rooms):
    ready = [
        slot for slot in SLOTS if registry().names(slot) or slot == "observer"
    ]  # of the others nobody has written one
    path = [pretend_installed(rooms / Skeleton(slot, "trying").distribution) for slot in ready]
    text = call("spindle", "plugins", "--check", "trying", cwd=rooms, path=path)
    for slot in ready:
        assert re.search(rf"(?m)^.*{slot} 'trying' of spindle-{slot.replace('_', '-')}-trying 0\.1\.0.* fine", text), (
            text
        )


def test_each_imports_only_what_the_host_declares(rooms):
    names = {
        f"{path.name}: {module}.{name}"
        for path in rooms.glob("*/src/*/*.py")
        for module, name in public.imports(path.read_text(encoding="utf-8"))
        if not public.is_public(module, name)
    }
    assert not names


@pytest.mark.skipif(importlib.util.find_spec("ruff") is None, reason="ruff is not installed")
def test_each_is_clean_for_the_linter_and_the_formatter(rooms):
    settings = f"--config={ROOT / 'pyproject.toml'}"
    call("ruff", "check", settings, ".", cwd=rooms)
    call("ruff", "format", "--check", settings, ".", cwd=rooms)


@pytest.mark.long
@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="mypy is not installed")
def test_each_is_clean_for_the_type_checker(rooms, tmp_path):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    sources = [room / "src" for room in sorted(rooms.iterdir())]
    (tmp_path / "mypy.ini").write_text(
        "[mypy]\nstrict = True\nfollow_imports = silent\nwarn_return_any = False\ndisable_error_code = import-untyped, import-not-found\n"
        f"mypy_path = {':'.join(map(str, [ROOT / 'framework/src', *ROOT.glob('libraries/*/src'), *sources]))}\n"
    )
    call("mypy", "--config-file=mypy.ini", *(f"-p{path.parent.name}" for s in sources for path in s.glob("*/__init__.py")), cwd=tmp_path)  # fmt: skip


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["exporters", "columns"], "no slot 'exporters'. Did you mean exporter"),
        (["exporter", "mtz"], "there is a exporter 'mtz' already, in spindle-exporter-mtz"),
        (["exporter", "My-Csv"], "cannot be called 'My-Csv'"),
        (["program", "help"], "cannot be called 'help'"),
        (["exporter", "columns", "like=nothing"], "like=nothing: no such exporter is installed"),
        (["exporter", "columns", "colour=red"], "unknown: colour"),
        (["exporter"], "name a slot and the new plugin"),
    ],
)
def test_what_cannot_be_made_is_said_and_nothing_is_written(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    assert main(["new-plugin", *words]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_folder_with_something_in_it_is_left_alone(tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("years of work")
    assert main(["new-plugin", "exporter", "columns", f"folder={tmp_path}"]) == 2
    assert "there already and not empty" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_plugin_can_begin_like_any_installed_one_of_its_slot():
    for name in registry().names("background"):
        code = Skeleton("background", "mine", like=name).files()["src/spindle_background_mine/algorithm.py"]
        assert f'self.context.algorithm("background", "{name}")' in code
    with pytest.raises(UserError, match="no such background"):
        Skeleton("background", "mine", like="mtz")
