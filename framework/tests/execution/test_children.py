"""Processes that a run starts end with it, however it ends."""

import os
import subprocess
import sys
import time

import pytest

from spindle.execution import module_command, program_command

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="a process of Windows does not know whether its parent lives"
)
STARTS = """
import subprocess, sys
from spindle.execution import module_command, program_command
command = {command}
child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(child.pid, flush=True)
child.wait()
"""


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rsplit(b")", 1)[1].split()[0] != b"Z"
    except ProcessLookupError:
        return False
    except FileNotFoundError:  # macOS
        return sys.platform != "linux"


@pytest.mark.parametrize(
    "command",
    ["module_command('http.server', '0', '--bind', '127.0.0.1')", "program_command('/bin/sleep', '60')"],
    ids=["module", "program"],
)
def test_a_child_ends_with_a_parent_that_is_killed(command):
    with subprocess.Popen([sys.executable, "-c", STARTS.format(command=command)], stdout=subprocess.PIPE) as parent:
        child = int(parent.stdout.readline())
        time.sleep(0.5)
        assert _is_there(child)
        parent.kill()
    until = time.monotonic() + 20
    while _is_there(child) and time.monotonic() < until:
        time.sleep(0.02)
    assert not _is_there(child)


def test_a_child_whose_parent_went_at_once_does_not_begin():
    command = module_command("platform")
    command[command.index("-m") - 1] = "1"
    if os.getppid() == 1 or os.getpid() == 1:
        pytest.skip("runs under the first process")
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 1 and not done.stdout


def test_a_module_gets_its_words_and_is_the_main_one():
    done = subprocess.run(
        module_command("timeit", "-n", "1", "-r", "1", "pass"), capture_output=True, text=True, check=True
    )
    assert "1 loop" in done.stdout
    done = subprocess.run(program_command("/bin/echo", "a b", "c"), capture_output=True, text=True, check=True)
    assert done.stdout == "a b c\n"
