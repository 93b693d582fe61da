"""The plugin passes the contract of its slot; its processes end with the run that they work for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from spindle_executor_processes.pool import Pool

import spindle
from spindle.errors import PluginError, UserError
from spindle.execution import Common, Executor, RunContext, module_command
from spindle.params import HostParams, make
from spindle.testing.executor import ExecutorContract, HoldsCommon, Opened, kills_always

SECONDS = 3.0
# A run of four items that take long, with a file for each worker that has begun one.
RUN = """
import sys
from spindle.cli.main import terminate
from spindle.execution import RunContext
from spindle.params import HostParams, make
import signal
sys.path.append({tests!r})
from long_items import begun, named
signal.signal(signal.SIGTERM, terminate)
context = RunContext("test", make(HostParams, **{{"mp.method": "processes", "mp.nproc": 2}}))
for _ in context.executor.map(begun, [{folder!r}] * 4):
    pass
"""


class TestProcessesExecutor(ExecutorContract):
    name = "processes"

    def test_what_functions_have_in_common_travels_once_to_each_worker(self, plugin):
        common = Common(Opened())
        found = [one for k in range(12) for one in plugin.map_ordered(HoldsCommon(common, k), range(4), 2, bool)]
        assert {times for _, _, times in found} == {1}, "it is unpacked again"


@pytest.fixture
def executor():
    context = RunContext("test", make(HostParams, **{"mp.method": "processes", "mp.nproc": 2}))
    yield context.executor
    context.close()


def is_alive(pid: int) -> bool:
    """Whether there is such a process, one that waits for its parent's attention apart."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, 9], ids=["interrupted", "terminated", "killed"])
def test_workers_end_with_the_run(number, tmp_path):
    code = RUN.format(tests=str(Path(__file__).parent), folder=str(tmp_path))
    run = subprocess.Popen([sys.executable, "-P", "-c", code], stderr=subprocess.PIPE, start_new_session=True)
    end = time.monotonic() + 60
    while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < end:
        time.sleep(0.05)
    workers = [int(p.name) for p in tmp_path.iterdir()]
    assert len(workers) == 2
    began = time.monotonic()
    if number == signal.SIGINT:
        os.killpg(run.pid, number)  # as a terminal does, which tells the workers too
    else:
        run.send_signal(number)
    _, said = run.communicate(timeout=30)
    assert run.returncode != 0
    while any(map(is_alive, workers)) and time.monotonic() < began + SECONDS:
        time.sleep(0.02)
    assert not any(map(is_alive, workers))
    assert time.monotonic() - began < SECONDS
    assert said.count(b"Traceback") == (0 if number == 9 else 1), "the workers say nothing"


def test_an_item_that_kills_each_worker_is_named(executor):
    with pytest.raises(UserError, match=r"3 workers ended .*SIGKILL, while working on item 2 \(2\)"):
        list(executor.map(kills_always, range(5)))


def test_workers_stay_for_the_next_map(executor):
    first = set(executor.map(_number, range(8)))
    assert os.getpid() not in first
    assert set(executor.map(_number, range(8))) <= first


def _number(item: int) -> int:
    return os.getpid()


def test_large_arrays_stay_here(executor):
    assert executor.leaves_process and not executor.here.leaves_process
    assert set(executor.here.map(_number, range(4))) == {os.getpid()}
    assert executor.here.n_workers == executor.n_workers


def test_a_run_that_has_ended_begins_no_workers():
    with Pool() as pool:
        pass
    with pytest.raises(RuntimeError, match="has ended"):
        pool.open(b"", {}, 1)


def test_a_worker_of_another_version_is_refused(executor, monkeypatch):
    monkeypatch.setattr(spindle, "__version__", "0.0.9")
    with pytest.raises(PluginError, match=r"this run is of Spindle 0\.0\.9, the worker on .* has Spindle"):
        list(executor.map(abs, range(3)))


def test_a_module_of_the_working_folder_is_not_imported(tmp_path):
    """The worker's path is that of the run, which does not look beside the images."""
    (tmp_path / "numpy.py").write_text("raise SystemExit('imported from the folder of the images')")
    code = RUN.format(tests=str(Path(__file__).parent), folder=str(tmp_path)).replace("map(begun", "map(named")
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert module_command("x")[1] in ("-P", "-I")


def test_one_worker_is_this_thread():
    context = RunContext("test", make(HostParams, **{"mp.method": "processes", "mp.nproc": 1}))
    assert set(context.executor.map(_number, range(3))) == {os.getpid()}
    assert isinstance(context.executor, Executor)
