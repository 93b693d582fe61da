"""Two runs that write the same files at the same time."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import pytest

from spindle.errors import UserError
from spindle.execution.lock import PREFIX, locked


def leave(folder, process, machine=None, outputs=("a.refl",)):
    """What a run leaves that is going on or was killed."""
    machine = machine or platform.node()
    path = folder / f"{PREFIX}{machine}.{process}"
    path.write_text(json.dumps({"program": "index", "machine": machine, "process": process, "outputs": list(outputs)}))
    return path


def test_a_living_run_keeps_its_outputs(tmp_path):
    path = leave(tmp_path, os.getppid())
    outputs = [tmp_path / "a.refl", tmp_path / "b.refl"]
    match = rf"spindle index is running.*process {os.getppid()}.*a\.refl"
    with pytest.raises(UserError, match=match), locked("process", outputs):
        pass
    assert list(tmp_path.iterdir()) == [path]


def test_runs_with_other_outputs_go_on_side_by_side(tmp_path):
    leave(tmp_path, os.getppid())
    with locked("process", [tmp_path / "b.refl"]):
        assert len(list(tmp_path.glob(f"{PREFIX}*"))) == 2
    assert len(list(tmp_path.glob(f"{PREFIX}*"))) == 1


def test_what_a_dead_run_left_is_taken_over(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    leave(tmp_path, dead.pid)
    with locked("process", [tmp_path / "a.refl"]):
        assert [p.name for p in tmp_path.iterdir()] == [f"{PREFIX}{platform.node()}.{os.getpid()}"]
    assert not list(tmp_path.iterdir())


def test_a_run_on_another_machine_is_believed_and_the_file_named(tmp_path):
    path = leave(tmp_path, 1, machine="elsewhere")
    with pytest.raises(UserError, match=rf"on elsewhere.*remove .*{path.name}"), locked("index", [tmp_path / "a.refl"]):
        pass
