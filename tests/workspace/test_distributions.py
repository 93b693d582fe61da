"""What a distribution declares is what its code needs, on every system, and its wheel holds the licence."""

from __future__ import annotations

import email
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import dependencies  # noqa: E402
import workspace  # noqa: E402

FOLDERS = [d.folder for d in workspace.distributions()]


def distribution(folder, code, dependencies="[]"):
    package = folder / "src" / "mine"
    package.mkdir(parents=True)
    (package / "code.py").write_text(code)
    (folder / "pyproject.toml").write_text(f'[project]\nname = "mine"\ndependencies = {dependencies}\n')
    return folder


@pytest.mark.parametrize(
    ("code", "declared", "problem"),
    [
        ("import numpy", "[]", "numpy is imported"),
        ("def f():\n    from scipy.spatial import cKDTree", "[]", "scipy is imported"),
        ("import importlib\nimportlib.import_module('h5py')", "[]", "h5py is imported"),
        ("import numpy", "['numpy>=2', 'jinja2']", "jinja2 is declared"),
        ("import resource", "[]", "resource is not on every system"),
        ("def f():\n    import fcntl", "[]", "fcntl is not on every system"),
        ("import os\nprint(os.getuid())", "[]", "os.getuid is not on every system"),
        ("import signal\nsignal.signal(signal.SIGHUP, None)", "[]", "signal.SIGHUP is not on every system"),
        ("try:\n    pass\nexcept ImportError:\n    import pwd", "[]", "pwd is not on every system"),
        ("import os\nif os.name == 'nt':\n    pass\nelse:\n    import grp", "[]", None),
        ("try:\n    import resource\nexcept ImportError:\n    resource = None", "[]", None),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pandas", "[]", None),
        ("import numpy as np\nfrom PIL import Image\nimport mine, math", "['numpy', 'Pillow >= 10']", None),
        ("import os\nn = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else 1", "[]", None),
    ],
)
def test_the_check_finds_what_is_wrong_and_nothing_else(tmp_path, code, declared, problem):
    found = dependencies.problems_of_dependencies(distribution(tmp_path, code, declared), tmp_path)
    assert (found == []) if problem is None else (len(found) == 1 and problem in found[0]), found


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_wheel_holds_the_licence(folder, tmp_path):
    wheel = pytest.importorskip("hatchling.builders.wheel")
    (built,) = wheel.WheelBuilder(str(ROOT / folder)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(built) as archive:
        names = archive.namelist()
        (path,) = [n for n in names if ".dist-info/" in n and n.endswith("/LICENSE")]
        assert archive.read(path).decode() == (ROOT / "LICENSE").read_text(encoding="utf-8")
        metadata = email.message_from_bytes(archive.read(next(n for n in names if n.endswith("/METADATA"))))
    assert metadata["License-Expression"] == "BSD-3-Clause"
    assert metadata.get_all("License-File") == ["LICENSE"]


def test_a_system_without_resource_gives_no_peak_of_memory(monkeypatch):
    from spindle_program_process import program

    assert program.peak_memory_mb() is None or program.peak_memory_mb() > 1
    monkeypatch.setattr(program, "resource", None)
    assert program.peak_memory_mb() is None
