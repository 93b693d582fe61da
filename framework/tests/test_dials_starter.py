"""Commands that are done by children of a process which has imported what they need are those of processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from spindle.testing import dials, dials_starter

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")

SCRIPT = """
import atexit, os, sys, pathlib, needed
atexit.register(print, "at the end")
print(__name__, sys.argv[1:], os.getcwd(), os.environ.get("ONE"), needed.HERE, sys.stdin.read())
if __name__ == "__main__":
    %s
"""


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """One that finds empty modules of the names that DIALS has."""
    folder = tmp_path_factory.mktemp("fake")
    for name in dials_starter.NEEDED_BY_ALL:
        place = folder.joinpath(*name.split(".")).with_suffix(".py")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("print('imported')")
    process = subprocess.Popen(
        [sys.executable, dials_starter.__file__], env={**os.environ, "PYTHONPATH": str(folder)}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout.readline() == "ready\n"
    started = dials._Started(process)
    yield started
    started.end()
    assert process.returncode == 0


@pytest.mark.parametrize(
    "ends", ["pass", "sys.exit()", "sys.exit(3)", "sys.exit('in words')", "1 / 0", "os.kill(os.getpid(), 9)"]
)
def test_codes_and_streams_are_those_of_a_process_of_its_own(started, ends, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT % ends)
    (tmp_path / "needed.py").write_text("HERE = __file__")
    words, environment = ["script.py", "a", "b c"], {**os.environ, "ONE": "1"}
    alone = subprocess.run(
        [sys.executable, *words],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    code, output, errors = started.run(words, tmp_path, environment)
    assert (code, output) == (alone.returncode, alone.stdout)
    assert errors.splitlines()[-1:] == alone.stderr.splitlines()[-1:]


def test_code_is_done_as_by_python(started, tmp_path):
    code, output, _ = started.run(["-c", "import sys; print(sys.argv, __name__)", "x"], tmp_path, {})
    assert (code, output) == (0, "['-c', 'x'] __main__\n")


def test_a_program_whose_python_does_not_start_so_is_run_by_itself(tmp_path, monkeypatch):
    program = tmp_path / "dials.trial"
    program.write_text(f"#!{sys.executable}\nimport sys\nprint(sys.argv[1:])\n")
    program.chmod(0o755)
    monkeypatch.setattr(dials, "_SEARCH", str(tmp_path))
    assert dials.dials("dials.trial", 1, "two", cwd=tmp_path) == "['1', 'two']\n"
