"""The host names no format, no program and no algorithm: what it must know of one, that one says itself."""

from __future__ import annotations

import ast
from pathlib import Path

from rooms import ROOT, distributions

HOST = ROOT / "framework" / "src" / "spindle"
#: Names that mean something else as well. "threads" is the executor of a run that names none, "dask" what the names of queues stand
#: for, "compare" the function that runs the program of its name; the others are hooks, columns, values of parameters or keys of files.
ALSO_WORDS = {
    "array",
    "auto",
    "centroid",
    "compare",
    "dask",
    "default",
    "dispersion",
    "export",
    "hkl",
    "json",
    "predict",
    "process",
    "refine",
    "scale",
    "threads",
}


def named_by_the_host() -> list[str]:
    """Every text in the host that is a plugin's name: file, line and text. The kit is left out: it runs programs."""
    names = {name.lower() for d in distributions() for _, name in d.plugins} - ALSO_WORDS
    found = []
    for file in sorted(HOST.rglob("*.py")):
        if "testing" in file.relative_to(HOST).parts:
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.lower() in names:
                found.append(f"{file.relative_to(ROOT).as_posix()}:{node.lineno}: {node.value}")
    return found


def test_the_host_names_no_plugin():
    assert named_by_the_host() == []


def test_names_that_are_also_words_are_names_of_plugins():
    names = {name.lower() for d in distributions() for _, name in d.plugins}
    assert names >= ALSO_WORDS, "a name that no plugin has any more needs no exception"


def test_programs_say_their_place_once():
    places = [k for d in distributions() for k in d.project.get("keywords", []) if k.startswith("step:")]
    assert len(places) > 10 and len(set(places)) == len(places)
    assert Path(ROOT, "plugins/program/index/pyproject.toml").read_text(encoding="utf-8").count("step:") == 1
