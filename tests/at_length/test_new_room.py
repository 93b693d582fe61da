"""A new room is in the lists of the workspace as soon as it is written."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import workspace  # noqa: E402


def test_a_new_room_is_in_step_with_the_workspace(tmp_path):
    """Written into a copy of the repository by tools/new.py, it is in the lists, and the check finds nothing."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a clone")
    for name in listed.stdout.splitlines():
        if not name.startswith(("docs/", "benchmarks/", "tests/")) and (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    for slot, folder in [
        ("exporter", "plugins/exporter/tabs"),
        ("format", "formats/tabs"),
        ("library", "libraries/tabs"),
    ]:
        text = call_tool(tmp_path, "new.py", slot, "tabs", "summary=Writes tabs", "--no-install")
        assert f"Wrote {folder}" in text
        project = tomllib.loads((tmp_path / folder / "pyproject.toml").read_text())["project"]
        assert project["description"] == "Writes tabs" and project["license"] == "BSD-3-Clause"
        assert (tmp_path / folder / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    requirements = tomllib.loads((tmp_path / "plugins/exporter/tabs/pyproject.toml").read_text())["project"][
        "dependencies"
    ]
    assert requirements[:2] == ["spindle-diffraction-base~=0.1", "spindle-lib-merging~=0.1"]
    assert "all lists are in step" in call_tool(tmp_path, "workspace.py", "--check")
    found = {d.name for d in workspace.distributions(tmp_path)}
    assert {"spindle-exporter-tabs", "spindle-format-tabs", "spindle-lib-tabs"} <= found
    assert "spindle-exporter-tabs~=0.1" in (tmp_path / "packages/spindle-diffraction/pyproject.toml").read_text()
    assert "spindle-exporter-tabs" in (tmp_path / "docs/reference/rooms.md").read_text()


def call_tool(root: Path, tool: str, *words: str) -> str:
    done = subprocess.run([sys.executable, f"tools/{tool}", *words], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
