"""The lists of distributions, the layers and the sources are in step with the folders."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import rooms  # noqa: E402


def test_lists_of_distributions_are_in_step():
    done = subprocess.run([sys.executable, "tools/workspace.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_constraints_have_exact_versions_and_no_addresses():
    lines = [x for x in (ROOT / "constraints.txt").read_text().splitlines() if x and not x.startswith("#")]
    assert lines
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.+]*", line) for line in lines)


def sources() -> list[Path]:
    folders = ("libraries/*", "plugins/*/*", "formats/*")
    return sorted(path for folder in folders for path in ROOT.glob(f"{folder}/src/**/*.py"))


@cache
def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(rooms.parsed(path)):
        if isinstance(node, ast.Import):
            names |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module)
            names |= {f"{node.module}.{a.name}" for a in node.names}
    return names


def test_no_plugin_imports_another():
    wrong = []
    for path in sources():
        folders = path.relative_to(ROOT).parts
        package = folders[folders.index("src") + 1]
        for name in imported(path):
            other = name.split(".")[0]
            if other.startswith("spindle_") and other != package and not other.startswith("spindle_lib_"):
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_plugins_use_only_public_names_of_the_host():
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources()
        for name in imported(path)
        if name.split(".")[0] == "spindle" and any(part.startswith("_") for part in name.split("."))
    ]
    assert not wrong, "\n".join(wrong)


def test_the_host_names_no_algorithm():
    """Names of first-party algorithms appear in no code of the host, only executors' (a default) do."""
    for path in sorted((ROOT / "framework" / "src").rglob("*.py")):
        for name in imported(path):
            assert not name.startswith("spindle_"), f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.skipif(importlib.util.find_spec("importlinter") is None, reason="import-linter is not installed")
def test_layers_are_kept():
    command = [
        sys.executable,
        "-c",
        "import sys; from importlinter.cli import lint_imports_command as c; sys.exit(c())",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
