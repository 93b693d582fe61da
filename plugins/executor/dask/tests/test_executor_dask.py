"""The plugin passes the contract of its slot; its choice of clusters is understood or refused in words."""

from __future__ import annotations

import subprocess
import sys

import pytest

from spindle.errors import ParameterError, PluginError, UserError
from spindle.execution import Common, RunContext, RunSettings
from spindle.params import HostParams, make
from spindle.testing.executor import ExecutorContract, HoldsCommon, Opened


class TestDaskExecutor(ExecutorContract):
    name = "dask"

    def test_what_functions_have_in_common_travels_once_to_each_worker(self, plugin):
        common = Common(Opened())
        found = [one for k in range(12) for one in plugin.map_ordered(HoldsCommon(common, k), range(4), 2, bool)]
        assert {times for _, _, times in found} == {1}, "it is unpacked again"


def context_of(**values):
    return RunContext("test", make(HostParams, **{f"mp.{n.replace('__', '.')}": v for n, v in values.items()}))


@pytest.mark.parametrize("queue", ["slurm", "sge", "lsf", "pbs", "drmaa"])
def test_the_name_of_a_queue_is_dask_with_its_workers(queue):
    settings = RunSettings.of("test", make(HostParams, **{"mp.method": queue, "mp.njobs": 3, "mp.nproc": 2}))
    assert (settings.executor.name, settings.executor.params.cluster) == ("dask", queue)
    assert (settings.n_jobs, settings.n_workers) == (3, 2)


def test_a_cluster_that_is_named_comes_before_none():
    assert make(HostParams, **{"mp.method": "dask"}).mp.dask.cluster == "local"
    assert make(HostParams, **{"mp.method": "dask", "mp.dask.cluster": "pbs"}).mp.dask.cluster == "pbs"


def test_a_queue_without_its_commands_is_refused(monkeypatch, tmp_path):
    pytest.importorskip("dask_jobqueue", reason="clusters with queues need the package dask-jobqueue")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"mp.dask.cluster=slurm: there is no command sbatch here"):
        _ = context_of(method="slurm").n_workers
    with pytest.raises(UserError, match="none of the commands sbatch, bsub and qsub"):
        _ = context_of(method="drmaa").n_workers


def test_a_queue_without_its_package_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
    with pytest.raises(UserError, match="pip install dask-jobqueue"):
        _ = context_of(method="slurm").n_workers


def test_jobs_on_this_machine_are_refused():
    with pytest.raises(ParameterError, match=r"mp.njobs=2: mp.dask.cluster=local has workers on this machine only"):
        _ = context_of(method="dask", njobs=2).n_workers
    with pytest.raises(ParameterError, match=r"mp.njobs=2: mp.method=threads has workers on this machine only"):
        _ = context_of(method="threads", njobs=2).n_workers


def test_workers_of_this_machine_are_not_begun_to_count_them():
    executor = context_of(method="dask", nproc=3).executor
    assert (executor.n_workers, executor.plugin.plugin._cluster) == (3, None)


def test_an_address_where_nobody_answers_is_refused(monkeypatch):
    monkeypatch.setattr("spindle_executor_dask.cluster.SECONDS_TO_CONNECT", 1)
    with pytest.raises(UserError, match=r"mp.dask.address=tcp://127.0.0.1:9: no scheduler answers there"):
        _ = context_of(method="dask", dask__address="tcp://127.0.0.1:9").n_workers


@pytest.fixture(scope="module")
def existing():
    """A cluster that somebody else began: one worker with two threads."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=2, processes=True, dashboard_address=":0") as cluster:
        yield cluster.scheduler_address


def test_a_cluster_that_exists_is_used_and_stays(existing):
    for nproc, n_workers in ((None, 2), (5, 5)):
        context = context_of(method="dask", dask__address=existing, **({} if nproc is None else {"nproc": nproc}))
        assert context.n_workers == n_workers
        assert list(context.executor.map(abs, range(-3, 3))) == [3, 2, 1, 0, 1, 2]
        context.close()


def test_a_cluster_with_another_version_is_refused(existing, monkeypatch):
    monkeypatch.setattr("spindle.__version__", "0.0.9")
    with pytest.raises(PluginError, match=r"this run is of Spindle 0\.0\.9, the worker .* has "):
        _ = context_of(method="dask", dask__address=existing).n_workers


def test_it_is_imported_only_when_it_is_used():
    code = "import sys, spindle_executor_dask; sys.exit('distributed' in sys.modules or 'dask' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
