"""The executor of Dask clusters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from spindle.contracts import Algorithm, hookimpl
from spindle.errors import ParameterError
from spindle.execution import available_cores
from spindle.params import Choice, Float, Str, Strings
from spindle.params import Params as ParamsBase

if TYPE_CHECKING:
    from .cluster import Cluster

QUEUES = ("slurm", "sge", "lsf", "pbs", "drmaa")


class DaskExecutor(Algorithm):
    """Does items on the workers of a Dask cluster and yields the results in order.

    The workers are processes of this machine, those of a cluster that exists already, or jobs of a queue. Blocks of a worker that is
    lost are done again by others.
    """

    leaves_process = True
    uses_jobs = True

    class Params(ParamsBase):
        """Which cluster."""

        address = Str(
            None,
            none=True,
            help="Address of the scheduler of a cluster that exists, for example tcp://head:8786; its workers need the same version of "
            "Spindle.",
        )
        cluster = Choice(
            ("local", *QUEUES),
            default="local",
            help="Where workers come from without an address: this machine, or jobs of a queue (drmaa is the queue whose commands are "
            "installed). mp.method=slurm and so on set it.",
        )
        queue = Str(None, none=True, help="Name of the queue or partition; the usual one of the cluster by default.")
        walltime = Str("04:00:00", help="Longest time of a job, hours:minutes:seconds.")
        memory = Float(4.0, min=0.1, max=100_000.0, help="Memory of each worker of a job in GB.")
        options = Strings((), help="More lines for the head of the job script, without what marks them as such.")
        timeout = Float(
            600.0, min=1.0, max=1e7, help="Seconds to wait for the first worker, which may stand in a queue.", level=1
        )

    def __init__(self, params: Any = None, context: Any = None) -> None:
        super().__init__(params, context)
        self._cluster: Cluster | None = None

    @hookimpl
    def count_workers(self, n_workers: int | None, n_jobs: int) -> int:
        """All of an existing cluster unless it is said; one in each job of a queue; the cores of this machine."""
        params = self.params
        if params.address is not None:
            have = self._begun(1, 1).count()
            return max(1, have if n_workers is None else n_workers * n_jobs)
        if params.cluster != "local":
            wanted = (n_workers or 1) * n_jobs
            self._begun(n_workers or 1, n_jobs)
            return wanted
        if n_jobs > 1:
            raise ParameterError(
                f"mp.njobs={n_jobs}: mp.dask.cluster=local has workers on this machine only, as many as mp.nproc says; for jobs of a queue "
                "choose mp.method=slurm, sge, lsf or pbs"
            )
        return n_workers or available_cores()

    @hookimpl
    def map_ordered(
        self, function: Callable[[Any], Any], items: Iterable[Any], n_workers: int, cancelled: Callable[[], bool]
    ) -> Iterator[Any]:
        from .mapping import map_on_cluster

        return map_on_cluster(self._begun(n_workers, 1), function, items, n_workers, cancelled)

    def _begun(self, n_workers: int, n_jobs: int) -> Cluster:
        """The cluster of the run, with at least so many workers in so many jobs."""
        if self._cluster is None:
            from .cluster import Cluster

            self._cluster = Cluster(self.params, n_workers, n_jobs)
            if self.context is not None:
                self.context.enter(self._cluster)
        return self._cluster
