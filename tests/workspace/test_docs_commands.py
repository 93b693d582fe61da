"""Every command that a page shows exists, with its parameters; the site's settings name what is there."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from spindle.cli.completion import COMMANDS
from spindle.errors import PluginError
from spindle.execution.runner import effective_params, make_host
from spindle.params import Assignment
from spindle.plugins import registry

ROOT = Path(__file__).resolve().parents[2]
PAGES = [p for p in sorted([*ROOT.glob("docs/**/*.md"), ROOT / "README.md"]) if "reference" not in p.parts]
#: Words that stand for what a user gives, and plugins that a page has the reader write.
STANDS_FOR = re.compile(r"\.\.\.|<\w+>|\b[A-Z]{4,}\b|format=npy|threshold\.algorithm=simple|trimmed_mean|strong_share")


def commands_of(page: Path) -> list[str]:
    """Lines of blocks, and spans, that begin with ``spindle``."""
    text = page.read_text(encoding="utf-8")
    text = re.sub(r"<!-- begin.*?<!-- end -->", "", text, flags=re.DOTALL)
    blocks = re.findall(r"^ *```(?:sh|bash|console)?\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    lines = [line.strip().removeprefix("$ ") for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines += re.findall(r"`(spindle [^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return [line for line in lines if line.startswith("spindle ")]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_commands_of_a_page_can_be_typed(page):
    host = make_host()
    for command in commands_of(page):
        if STANDS_FOR.search(command):
            continue
        _, name, *words = shlex.split(command.partition(";")[0], comments=True)
        program = name.replace("-", "_").removeprefix("dials.")
        if name in COMMANDS or name.startswith("-"):
            continue
        assert program in registry().names("program"), command
        if (
            program == "compare" or registry().load("program", program).takes_words
        ):  # they read parameters of other programs
            continue
        given = [word.partition("=") for word in words if "=" in word and not word.startswith("-")]
        try:
            effective_params(program, [Assignment(key, value, command) for key, _, value in given], host)
        except PluginError:
            assert "plugin-guide" in page.parts, command  # where the reader writes plugins


def test_pages_show_commands():
    assert sum(len(commands_of(page)) for page in PAGES) > 150


@pytest.mark.skipif(
    importlib.util.find_spec("material") is None, reason="needs mkdocs-material: pip install mkdocs-material"
)
def test_the_site_is_built_without_a_complaint(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "index.html").is_file()
