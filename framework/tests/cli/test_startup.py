from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"numpy", "numba", "scipy", "h5py", "plotly", "gemmi", "traitlets", "rich", "msgpack"}


@pytest.mark.parametrize("words", [["--help"], ["plugins"], ["plugins", "--json"], ["--version"], ["find_spotz"]])
def test_light_commands_import_nothing_heavy(words):
    code = (
        "import sys\n"
        "from spindle.cli.main import main\n"
        f"main({words!r})\n"
        "print(sorted({m.partition('.')[0] for m in sys.modules}), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(eval(done.stderr.splitlines()[-1]))
    assert not imported & HEAVY
    assert "spindle" in imported


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, spindle; print(sorted({m.partition('.')[0] for m in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(eval(done.stdout)) & HEAVY


def test_the_host_runs_programs_without_importing_numba_itself():
    code = (
        "import sys\n"
        "from spindle.execution.runner import effective_params, make_host\n"
        "import spindle.cli.command, spindle.cli.replay\n"
        "print(sorted({m.partition('.')[0] for m in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(eval(done.stdout)) & {"numba", "scipy", "h5py", "plotly"}
