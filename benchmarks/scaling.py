"""How a program uses many workers: measured with one, computed from its tasks for more.

    python benchmarks/scaling.py integrate REFINED.expt REFINED.refl [--workers 2 4 16 64] [name=value ...]

Runs the program once in this process with one worker, after a run that compiles, and notes the CPU time of each task of each map. What is
not in a task is serial. For more workers every map takes as long as its tasks do when each goes, in order, to the worker that is free
first; no task of a map waits for anything else, and maps follow each other. `benchmarks/integrate.py --workers 2` measures two workers.
"""

from __future__ import annotations

import argparse
import heapq
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import spindle
from spindle.execution import Executor
from spindle.files import read_experiments, read_reflections


class Tasks:
    """CPU seconds of the tasks of each map of a run, those inside other tasks left out."""

    def __init__(self) -> None:
        self.maps: list[list[float]] = []
        self._plain = Executor.map
        self._inside = False

    def __enter__(self) -> Tasks:
        tasks = self

        def noted(executor: Executor, function: Callable[..., Any], items: Iterable[Any], **more: Any) -> Iterator[Any]:
            return tasks._noted(executor, function, items, more)

        Executor.map = noted  # type: ignore[assignment,method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        Executor.map = self._plain  # type: ignore[method-assign]

    def _noted(
        self, executor: Executor, function: Callable[..., Any], items: Iterable[Any], more: dict[str, Any]
    ) -> Iterator[Any]:
        if self._inside:
            yield from self._plain(executor, function, items, **more)
            return
        seconds: list[float] = []
        self.maps.append(seconds)

        def timed(*arguments: Any) -> Any:
            start = time.process_time()
            self._inside = True
            try:
                return function(*arguments)
            finally:
                self._inside = False
                seconds.append(time.process_time() - start)

        yield from self._plain(executor, timed, items, **more)


def makespan(seconds: list[float], workers: int) -> float:
    """Time until the last task has ended, each given in order to the worker that is free first."""
    free = [0.0] * workers
    for one in seconds:
        heapq.heapreplace(free, free[0] + one)
    return max(free)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("inputs", nargs="+", help="experiments, reflections, name=value")
    parser.add_argument("--workers", type=int, nargs="+", default=[2, 4, 16, 64])
    parser.add_argument("--no-warm-up", action="store_true", help="kernels are compiled")
    options = parser.parse_args()
    params: dict[str, Any] = dict(i.split("=", 1) for i in options.inputs if "=" in i)
    paths = [Path(i).resolve() for i in options.inputs if "=" not in i]
    experiments = next(read_experiments(p) for p in paths if p.suffix == ".expt")
    reflections = [read_reflections(p) for p in paths if p.suffix == ".refl"]
    given = (options.program, experiments, reflections or None)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        if not options.no_warm_up:
            spindle.run(*given, **params, nproc=1)
        with Tasks() as tasks:
            start = time.process_time()
            spindle.run(*given, **params, nproc=1)
            total = time.process_time() - start
        os.chdir("/")
    in_tasks = sum(map(sum, tasks.maps))
    serial = total - in_tasks
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{options.program}: {total:.2f} s of CPU, {sum(map(len, tasks.maps))} tasks in {len(tasks.maps)} maps")
    print(f"serial: {serial:.2f} s, {100 * serial / total:.1f} %; peak memory {memory:.0f} MB")
    for workers in options.workers:
        elapsed = serial + sum(makespan(one, workers) for one in tasks.maps if one)
        print(f"{workers:4d} workers: {elapsed:6.2f} s, {total / elapsed:5.1f} times as fast as one")


if __name__ == "__main__":
    main()
