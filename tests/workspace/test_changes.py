"""Fragments of the changelog have a known kind and hold text, and the release tool takes them."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["towncrier"]
KINDS = [kind["directory"] for kind in SETTINGS["type"]]
FRAGMENTS = sorted(p for p in (ROOT / SETTINGS["directory"]).iterdir() if p.name not in SETTINGS["ignore"])


def fault_of(name: str, text: str) -> str:
    """Return what is wrong with a fragment, or nothing."""
    if not re.fullmatch(r"\+[a-z0-9][a-z0-9-]*\.[a-z]+\.md", name):
        return "a fragment is called +some-words.kind.md"
    if name.split(".")[1] not in KINDS:
        return f"the kind is one of {', '.join(KINDS)}"
    if not text.strip() or text.lstrip().startswith(("#", "-", "*")):
        return "a fragment is one or a few sentences, without heading or list"
    return ""


@pytest.mark.parametrize("path", FRAGMENTS, ids=lambda p: p.name)
def test_fragments_are_well_formed(path):
    assert not fault_of(path.name, path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("+a-new-thing.added.md", "One can do `this` now.\n", ""),
        ("new-thing.added.md", "One can do this now.", "is called"),
        ("+new.improved.md", "One can do this now.", "the kind is one of added, changed"),
        ("+new.added.txt", "One can do this now.", "is called"),
        ("+new.added.md", "\n", "sentences"),
        ("+new.added.md", "- One can do this now.", "without heading or list"),
    ],
)
def test_faults_of_fragments_are_told(name, text, words):
    fault = fault_of(name, text)
    assert words in fault and bool(words) == bool(fault)


def test_the_guide_of_fragments_names_every_kind():
    text = (ROOT / "changes" / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == KINDS


def test_changelog_has_the_place_where_releases_are_written():
    assert SETTINGS["start_string"] in (ROOT / SETTINGS["filename"]).read_text(encoding="utf-8")


@pytest.mark.skipif(importlib.util.find_spec("towncrier") is None, reason="towncrier is not installed")
def test_a_release_gathers_every_fragment():
    command = [sys.executable, "-m", "towncrier", "build", "--draft", "--version", "9.9", "--date", "2000-01-01"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "## 9.9 (2000-01-01)" in done.stdout
    for path in FRAGMENTS:
        first = path.read_text(encoding="utf-8").split("\n")[0]
        assert first in done.stdout
