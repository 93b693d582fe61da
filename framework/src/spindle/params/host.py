"""Parameters that every program has, whether it names them or not."""

from __future__ import annotations

from .leaves import Auto, Bool, Int, Str
from .structured import Plugin
from .tree import Params

# Queues of clusters under the names that people choose them by.
QUEUES = ("slurm", "sge", "lsf", "pbs", "drmaa")


class Multiprocessing(Params):
    """Where the work is done."""

    method = Plugin(
        "executor",
        default="threads",
        none=True,
        other_names={"multiprocessing": "threads", **dict.fromkeys(QUEUES, "dask")},
        beside={name: {"dask.cluster": name} for name in QUEUES},
        help="Executor that runs the pieces of the work; None and multiprocessing are threads, the queues of clusters "
        "(slurm, sge, lsf, pbs, drmaa) are dask with workers from that queue.",
    )
    nproc = Int(
        Auto,
        min=1,
        max=4_096,
        help="Number of workers; Auto takes all cores that this process may use, all workers of an existing cluster, one in each job "
        "of a queue.",
    )
    njobs = Int(1, min=1, max=4_096, help="Number of jobs of a queue, each with mp.nproc workers.")


class HostParams(Params):
    """Scopes that the host adds to a program that does not have them."""

    class mp(Multiprocessing):
        """Where the work is done."""

    class run(Params, level=1):
        """How the run is recorded."""

        seed = Int(42, min=0, help="Seed of all random numbers of the run.")
        record = Str(
            Auto, none=True, help="File name of the run record; Auto is spindle.<program>.json, None writes none."
        )
        overwrite = Bool(
            False, help="Replace outputs that an earlier run made from other images or from more experiments."
        )
        observers = Plugin(
            "observer",
            default=(),
            multi=True,
            help="Observer plugins that watch the run; their parameters are run.<name>.*.",
        )


class UnrecordedParams(Params):
    """Base of the parameters of programs that leave no log and no run record behind unless asked to."""

    class output(Params, level=3):
        """What is written."""

        log = Str(None, help="Log; none by default.")

    class run(HostParams.run, level=3):
        """How the run is recorded."""

        record = Str(None, help="File name of the run record; none by default.")
