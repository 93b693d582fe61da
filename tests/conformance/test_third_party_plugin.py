"""A package from outside passes the conformance kit, and the guide shows exactly its code."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

import spindle
from spindle.contracts import SLOTS
from spindle.plugins import refresh, registry
from spindle.plugins.host import PluginHost
from spindle.table import ReflectionTable

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "third_party_plugin"
GUIDE = (ROOT / "docs" / "plugin-guide" / "README.md").read_text(encoding="utf-8")


def fake_installation(folder: Path, name: str, version: str, entry_points: dict) -> Path:
    """Write the metadata that pip would leave for a package."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: from outside\n")
    lines = []
    for group, names in entry_points.items():
        lines += [f"[{group}]", *(f"{k} = {v}" for k, v in names.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def site(tmp_path):
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    return fake_installation(tmp_path / "site", project["name"], project["version"], project["entry-points"])


def test_the_example_passes_its_own_tests(site):
    paths = os.pathsep.join([str(site), str(EXAMPLE / "src")])
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLE / "tests")]
    done = subprocess.run(
        command, cwd=EXAMPLE, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert "passed" in done.stdout


@pytest.mark.parametrize("name", ["background.py", "threshold.py", "sections.py"])
def test_each_plugin_of_the_example_has_at_most_40_lines(name):
    assert len((EXAMPLE / "src" / "crystal_extras" / name).read_text().splitlines()) <= 40


@pytest.mark.parametrize(
    "name",
    [
        "src/crystal_extras/background.py",
        "src/crystal_extras/threshold.py",
        "src/crystal_extras/sections.py",
        "pyproject.toml",
        "tests/test_conformance.py",
    ],
)
def test_the_guide_shows_the_code_of_the_example(name):
    assert (EXAMPLE / name).read_text(encoding="utf-8").strip() in GUIDE


def guide_class(name: str):
    """Return a class that the guide defines in a code block of its own."""
    block = next(b for b in re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL) if f"class {name}(" in b)
    namespace: dict = {"__name__": "guide"}
    exec(block, namespace)
    return namespace[name]


@pytest.fixture
def guide_program(tmp_path, monkeypatch):
    folder = fake_installation(
        tmp_path / "s", "guide-program", "1.0", {"spindle.program": {"select_strong": "guide:SelectStrong"}}
    )
    block = next(b for b in re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL) if "class SelectStrong(" in b)
    (folder / "guide.py").write_text(block)
    monkeypatch.syspath_prepend(str(folder))
    refresh()
    yield
    monkeypatch.undo()
    refresh()


@pytest.mark.usefixtures("guide_program")
def test_the_program_of_the_guide_runs():
    table = ReflectionTable(
        {"intensity.sum.value": np.array([1.0, 10.0]), "intensity.sum.variance": np.array([1.0, 4.0])}
    )
    result = spindle.run("select_strong", None, table)
    assert result.reflections["intensity.sum.value"].tolist() == [10.0]
    assert result.tables[0].rows == [["before", 2], ["kept", 1]]


def test_reports_have_the_section_of_the_example(site, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.syspath_prepend(str(EXAMPLE / "src"))
    refresh()
    values = np.array([1e4, 100.0, 50.0, -3.0])
    table = ReflectionTable({"intensity.sum.value": values, "intensity.sum.variance": np.full(4, 100.0)})
    result = spindle.run("report", None, table, **{"run.observers": "strong_share", "output.json": "r.json"})
    result.files["r.json"](tmp_path / "r.json")
    found = json.loads((tmp_path / "r.json").read_text())["strong_share"]
    assert found["tables"]["strong_share"]["rows"] == [[1, 3, "98.5"]]
    assert found["remarks"][0]["mood"] == "doubtful"
    result.files["spindle.report.html"](tmp_path / "r.html")
    assert "99 % of all counts" in (tmp_path / "r.html").read_text(encoding="utf-8")
    monkeypatch.undo()
    refresh()


def test_the_observer_of_the_guide_wraps_a_hook(capsys):
    stopwatch = guide_class("Stopwatch")()
    plugin = registry().load("background", "null")()
    handle = PluginHost(observers=(stopwatch,)).add("background", "null", plugin)
    from spindle.testing.background import flat_shoeboxes

    assert len(handle.estimate_background(flat_shoeboxes(3), None).success) == 3
    assert "background: " in capsys.readouterr().out


def test_the_guide_names_every_kind_of_leaf():
    import spindle.params as params
    from spindle.params import Leaf

    kinds = {n for n in params.__all__ if isinstance(getattr(params, n), type) and issubclass(getattr(params, n), Leaf)}
    for kind in kinds - {"Leaf"}:
        assert re.search(rf"\b{kind}\b", GUIDE), kind
    assert "background" in SLOTS
