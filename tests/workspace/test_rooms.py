"""Rooms are furnished alike: the same thing is in a file of the same name everywhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = sorted(p.parent for p in ROOT.glob("plugins/*/*/src/*/__init__.py"))
SOURCES = sorted([*ROOT.glob("plugins/*/*/src/**/*.py"), *ROOT.glob("formats/*/src/**/*.py")])
# Trees that are in parameters.py, from before this was settled.
TREES_LEFT = {"integrate"}
LONGEST_FILE = 400


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.name)
def test_the_class_of_a_plugin_is_in_the_file_of_its_kind(package):
    slot = package.relative_to(ROOT).parts[1]
    wanted = "program" if slot == "program" else "algorithm"
    assert (package / f"{wanted}.py").exists()
    assert slot != "program" or not (package / ("algorithm.py" if wanted == "program" else "program.py")).exists()


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.name)
def test_parameter_trees_are_in_params(package):
    assert (package / "parameters.py").exists() == (package.parent.parent.name in TREES_LEFT)


def test_the_base_of_parameter_trees_has_one_other_name():
    names = {m for f in SOURCES for m in re.findall(r"\bParams as (\w+)", f.read_text(encoding="utf-8"))}
    assert names <= {"ParamsBase", "BaseParams"}
    others = [
        f.relative_to(ROOT).parts[1:3] for f in SOURCES if "Params as BaseParams" in f.read_text(encoding="utf-8")
    ]
    assert set(others) <= {("exporter", "mtz"), ("exporter", "xds"), ("exporter", "xds_ascii"), ("program", "export")}


@pytest.mark.parametrize("kind", ["framework/src", "libraries/*/src", "plugins/*/*/src", "formats/*/src"])
def test_a_source_file_has_at_most_400_lines(kind):
    long = {
        str(f.relative_to(ROOT)): n
        for f in ROOT.glob(f"{kind}/**/*.py")
        if (n := f.read_text(encoding="utf-8").count("\n")) > LONGEST_FILE
    }
    assert not long, f"split them along what they are about: {long}"
