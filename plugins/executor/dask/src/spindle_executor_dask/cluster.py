"""The cluster of a run: begun when the first map needs it, ended with the run unless it was there before."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import uuid
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from typing import Any

import dask
from distributed import Client, LocalCluster, WorkerPlugin

from spindle.errors import PluginError, UserError
from spindle.execution import begin_worker

TRIES = 3
KEPT = 8  # contents that functions have in common and that stay on the cluster for the next
FIND_WORKER = "2s"  # a worker that another one wants to ask and that does not answer is lost; on one machine, soon
SECONDS_TO_CONNECT = 30
SECONDS_TO_END = 1.0
KILL = 9  # the signal of Unix; elsewhere the process ends with this code
JOBQUEUE = "pip install dask-jobqueue"
# The class of dask_jobqueue for a queue, and the command that hands in its jobs.
CLASSES = {
    "slurm": ("SLURMCluster", "sbatch"),
    "pbs": ("PBSCluster", "qsub"),
    "sge": ("SGECluster", "qsub"),
    "lsf": ("LSFCluster", "bsub"),
}


class OwnWorker(WorkerPlugin):  # type: ignore[misc]
    """Settles a worker that does nothing but work for this run."""

    name = "spindle"

    def setup(self, worker: Any) -> None:
        """Called in each worker, also in those that come in place of others."""
        begin_worker()


class Cluster:
    """A cluster and the connection to it.

    Parameters
    ----------
    params : DaskExecutor.Params
    n_workers : int
        In each job.
    n_jobs : int

    Attributes
    ----------
    client : distributed.Client
    """

    def __init__(self, params: Any, n_workers: int, n_jobs: int) -> None:
        self._own: Any = None
        self._common: dict[str, Any] = {}
        for name in ("distributed", "distributed.nanny", "distributed.worker", "distributed.scheduler"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters is said in our words
        if params.address is not None:
            self.client = _connected(params.address)
            self._check_versions(params.address)
        else:
            self._own = _local(n_workers) if params.cluster == "local" else _jobs(params, n_workers, n_jobs)
            try:
                self.client = Client(self._own, set_as_default=False)
                self.client.register_plugin(OwnWorker())
                self._wait(params)
            except BaseException:  # an interrupt, too
                _close(getattr(self, "client", None), self._own)
                raise
        self._end = weakref.finalize(self, _close, self.client, self._own)

    def count(self) -> int:
        """Items that are worked on at once."""
        workers: dict[str, Any] = self.client.scheduler_info(n_workers=-1)["workers"]
        return sum(int(w["nthreads"]) for w in workers.values())

    def common(self, contents: dict[str, bytes]) -> list[Any]:
        """Futures of contents by their names; each is sent once, and stays while it is among the last that were used."""
        for name, content in contents.items():
            future = self._common.pop(name, None)
            if future is None or future.status in ("cancelled", "error", "lost"):
                key = f"spindle-common-{uuid.uuid4().hex}"
                future = self.client.submit(bytes, content, key=key, pure=False)
            self._common[name] = future
        found = [self._common[name] for name in contents]
        while len(self._common) > max(KEPT, len(contents)):
            self._common.pop(next(iter(self._common))).release()
        return found

    def drop(self, futures: Sequence[Any]) -> None:
        """Have done nothing more of these; may be called from any thread, and from that of the connection."""
        client, dropped = self.client, list(futures)

        async def cancel() -> None:
            with suppress(Exception):  # the cluster may have ended
                await client.cancel(dropped, asynchronous=True)

        if client.status == "running":
            client.loop.add_callback(cancel)

    def _wait(self, params: Any) -> None:
        """Return when there is a worker."""
        try:
            self.client.wait_for_workers(1, timeout=params.timeout)
        except TimeoutError as error:
            raise UserError(
                f"executor dask: no worker came within mp.dask.timeout={params.timeout:g} s from mp.dask.cluster={params.cluster}; see what "
                "became of the jobs in the queue, or wait longer"
            ) from error

    def _check_versions(self, address: str) -> None:
        """Refuse workers of another version of Spindle, or without it."""
        version_of_run = version_here()
        try:
            found = self.client.run(version_here)
        except Exception as error:
            self.client.close()
            raise PluginError(
                f"mp.dask.address={address}: the workers cannot do the work: {error}. Install Spindle {version_of_run} with "
                "spindle-executor-dask for all of them"
            ) from error
        if others := {where: v for where, v in found.items() if v != version_of_run}:
            self.client.close()
            where, version = next(iter(others.items()))
            raise PluginError(
                f"mp.dask.address={address}: this run is of Spindle {version_of_run}, the worker {where} has {version} ({len(others)} of "
                f"{len(found)} workers differ); install the same version of all distributions on both"
            )

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *error: object) -> None:
        self._end()


def version_here() -> str:
    """Version of Spindle in the process of a worker."""
    import spindle

    return str(spindle.__version__)


def _connected(address: str) -> Client:
    try:
        return Client(address, timeout=SECONDS_TO_CONNECT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UserError(
            f"mp.dask.address={address}: no scheduler answers there within {SECONDS_TO_CONNECT} s ({error}); `dask scheduler` prints its "
            "address when it begins"
        ) from error


def _local(n_workers: int) -> Any:
    """Processes of this machine."""
    with dask.config.set(
        {
            "distributed.scheduler.active-memory-manager.start": False,
            "distributed.scheduler.allowed-failures": TRIES - 1,
        }
    ):
        with _uninterrupted():
            cluster = LocalCluster(
                n_workers=0, threads_per_worker=1, processes=True, dashboard_address=":0", memory_limit=0,
                silence_logs=logging.CRITICAL, config={"distributed.comm.timeouts.connect": FIND_WORKER},
            )  # fmt: skip
        cluster.scale(n_workers)
        return cluster


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Threads that begin here, and the processes that they begin, are never told of an interrupt, which is for the run alone."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # or the thread that begins the first process lets interrupts in again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _jobs(params: Any, n_workers: int, n_jobs: int) -> Any:
    """Jobs of a queue."""
    name = _queue_here() if params.cluster == "drmaa" else params.cluster
    try:
        import dask_jobqueue
    except ImportError as error:
        raise UserError(
            f"mp.dask.cluster={params.cluster}: jobs of a queue need the package dask-jobqueue. Next: {JOBQUEUE}"
        ) from error
    kind, command = CLASSES[name]
    if shutil.which(command) is None:
        raise UserError(
            f"mp.dask.cluster={params.cluster}: there is no command {command} here to hand in jobs with; run on a machine from which jobs "
            "are handed in, or give the address of a cluster with mp.dask.address="
        )
    cluster = getattr(dask_jobqueue, kind)(
        queue=params.queue, cores=n_workers, processes=n_workers, memory=f"{params.memory * n_workers:g}GB", walltime=params.walltime,
        job_extra_directives=list(params.options), scheduler_options={"dashboard_address": ":0"},
    )  # fmt: skip
    cluster.scale(jobs=n_jobs)
    return cluster


def _queue_here() -> str:
    """The queue whose commands are installed."""
    if shutil.which("sbatch"):
        return "slurm"
    if shutil.which("bsub"):
        return "lsf"
    if shutil.which("qsub"):
        return "pbs" if shutil.which("pbsnodes") else "sge"
    raise UserError(
        "mp.dask.cluster=drmaa: none of the commands sbatch, bsub and qsub is here; run on a machine from which jobs are handed in"
    )


def _close(client: Any, own: Any) -> None:
    """End the connection, and the cluster if it is the run's own; processes of this machine at once, whatever they are doing."""
    nannies = list(own.workers.values()) if isinstance(own, LocalCluster) else []
    for nanny in nannies:
        nanny.close_gracefully()  # it begins no other worker
    for pid in [n.pid for n in nannies if n.pid]:
        with suppress(OSError):
            os.kill(pid, KILL)
    with suppress(Exception):
        client.close(timeout=SECONDS_TO_END)
    if own is not None:
        with suppress(Exception):
            own.close(timeout=SECONDS_TO_END)
        with suppress(AttributeError):
            type(own)._instances.discard(own)  # or distributed tries for ten seconds more when Python ends
