"""Worker processes behind a bounded queue."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import json
import logging
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from spindle.execution import module_command
from spindle.report import EVENT
from spindle_lib_serving.refusal import Refusal

__all__ = ["WorkerPool"]

log = logging.getLogger("spindle.find_spots_server")

_LINE_LIMIT = 64 * 1024 * 1024
_START_LIMIT = 600.0
_LONGEST_PAUSE = 30.0
_MOST_STARTS = 3
_ATTEMPTS = 2

Answer = tuple[int, dict[str, Any]]


class _Hung(Exception):
    """A worker took too long."""


@dataclass(slots=True)
class _Job:
    question: dict[str, Any]
    is_abandoned: Callable[[], Awaitable[bool]]
    answer: asyncio.Future[Answer]
    attempts: int = 0


class WorkerPool:
    """Keeps worker processes alive and hands questions to them.

    Parameters
    ----------
    n_workers : int
    settings : dict
        For the workers: ``allow``, the folders that may be read.
    queue_limit : int
        How many questions may wait for a worker; more are refused.
    timeout : float, s
        How long a worker may take for one image before it is ended.
    """

    def __init__(self, n_workers: int, settings: dict[str, Any], queue_limit: int, timeout: float) -> None:
        self.n_workers, self.queue_limit, self.timeout = n_workers, queue_limit, timeout
        self.settings = settings
        self.processes: dict[int, asyncio.subprocess.Process] = {}
        self.ready: set[int] = set()
        self.busy: set[int] = set()
        self.n_lost = 0
        self.failure = ""
        self._n_failed = 0  # starts in a row, of any worker
        self._waiting: collections.deque[_Job] = collections.deque()
        self._news = asyncio.Condition()
        self._first_is_ready = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start the workers; the first one alone, so that kernels are compiled once."""
        self._tasks = [asyncio.create_task(self._keep(i)) for i in range(self.n_workers)]

    async def stop(self) -> None:
        """End all workers."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for process in list(self.processes.values()):
            await _end(process)

    @property
    def n_waiting(self) -> int:
        """Questions that wait for a worker."""
        return len(self._waiting)

    async def ask(self, question: dict[str, Any], is_abandoned: Callable[[], Awaitable[bool]]) -> Answer:
        """Have a question answered.

        Parameters
        ----------
        question : dict
        is_abandoned : callable
            Tells whether the client has left meanwhile; such a question is dropped when its turn comes.

        Raises
        ------
        Refusal
            503 when too many wait already.
        """
        if self.failure and not self.ready:
            raise Refusal(503, self.failure, {"Retry-After": "10"})
        n_idle = len(self.ready) - len(self.busy)
        if len(self._waiting) >= self.queue_limit + max(n_idle, 0):
            raise Refusal(
                503,
                f"{len(self._waiting)} images wait already (queue={self.queue_limit}); ask again in a second",
                {"Retry-After": "1"},
            )
        job = _Job(question, is_abandoned, asyncio.get_running_loop().create_future())
        self._waiting.append(job)
        async with self._news:
            self._news.notify()
        return await job.answer

    async def _next(self) -> _Job:
        async with self._news:
            while not self._waiting:
                await self._news.wait()
            return self._waiting.popleft()

    async def _keep(self, i: int) -> None:
        """Keep worker i alive."""
        pause = 0.0
        if i:
            await self._first_is_ready.wait()
        while True:
            started = time.monotonic()
            try:
                await self._work(i)
            except (OSError, EOFError, _Hung) as error:  # TimeoutError is an OSError
                was_ready = i in self.ready
                self.ready.discard(i)
                self.busy.discard(i)
                self.n_lost += 1
                process = self.processes.pop(i, None)
                code = None if process is None else await _end(process, 1.0 if isinstance(error, EOFError) else 0.0)
                why = f"{error or type(error).__name__}" + (f" (exit code {code})" if code is not None else "")
                log.warning("worker %d was lost: %s; starting another", i + 1, why, extra=EVENT)
                self._n_failed += not was_ready
                if (
                    self._n_failed >= _MOST_STARTS
                ):  # one that was lost may have been bad luck: what waits goes to the next
                    self._cannot_start(f"the workers cannot be started: {why}; the server's output says more")
                quick = not was_ready or time.monotonic() - started < 1.0
                pause = min(max(2 * pause, 0.1), _LONGEST_PAUSE) if quick else 0.0
            await asyncio.sleep(pause)

    def _cannot_start(self, reason: str) -> None:
        """Refuse what waits when there is no worker at all."""
        self.failure = reason
        self._first_is_ready.set()
        while self._waiting and not self.ready:
            _settle(self._waiting.popleft(), (503, {"error": reason}))

    async def _work(self, i: int) -> None:
        """Start worker i and give it questions until it is lost."""
        process = self.processes[i] = await asyncio.create_subprocess_exec(
            *module_command("spindle_program_find_spots_server.worker"),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=_LINE_LIMIT,
            start_new_session=True, env=_environment(),
        )  # fmt: skip
        await self._exchange(process, self.settings, _START_LIMIT)
        self.ready.add(i)
        self.failure, self._n_failed = "", 0
        self._first_is_ready.set()
        log.debug("worker %d is ready (process %d)", i + 1, process.pid)
        gone = asyncio.create_task(process.wait())
        while True:
            waiting = asyncio.create_task(self._next())
            try:
                await asyncio.wait({waiting, gone}, return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                waiting.cancel()
                gone.cancel()
                raise
            if gone.done():
                await self._give_back(waiting)
                raise EOFError("it ended by itself")
            job = waiting.result()
            if job.answer.done() or await job.is_abandoned():
                _settle(job, (499, {"error": "the client left"}))
                continue
            self.busy.add(i)
            await self._do(i, process, job)
            self.busy.discard(i)

    async def _give_back(self, waiting: asyncio.Task[_Job]) -> None:
        """Stop waiting for a question; one that has just arrived goes back to the head of the queue."""
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            self._waiting.appendleft(await waiting)
        async with self._news:
            self._news.notify()

    async def _do(self, i: int, process: asyncio.subprocess.Process, job: _Job) -> None:
        job.attempts += 1
        image = job.question["image"]
        try:
            status, content = await self._exchange(process, job.question, self.timeout)
        except TimeoutError:
            reason = (
                f"the image took longer than timeout={self.timeout:g} s and was given up; is the file system slow? "
                "The server's timeout= sets the limit"
            )
            _settle(job, (504, {"image": image, "error": reason}))
            raise _Hung(f"{image} took longer than timeout={self.timeout:g} s") from None
        except (OSError, EOFError) as error:
            if job.attempts < _ATTEMPTS:
                self._waiting.appendleft(job)
                async with self._news:
                    self._news.notify()
            else:
                reason = f"{job.attempts} workers died while they worked on this image; is it damaged, or memory short?"
                _settle(job, (500, {"image": image, "error": reason}))
            raise EOFError(f"it died while working on {image}") from error
        except asyncio.CancelledError:
            _settle(job, (503, {"image": image, "error": "the server was stopped"}))
            raise
        _settle(job, (status, content))

    async def _exchange(self, process: asyncio.subprocess.Process, content: dict[str, Any], limit: float) -> Any:
        """Send a line to a worker and return what it says."""
        assert process.stdin is not None and process.stdout is not None
        async with asyncio.timeout(limit):
            process.stdin.write(json.dumps(content).encode("ascii") + b"\n")
            await process.stdin.drain()
            line = await process.stdout.readline()
        if not line.endswith(b"\n"):
            raise EOFError("it ended without an answer")
        try:
            return json.loads(line)
        except ValueError as error:
            raise EOFError(f"its answer is not JSON: {line[:100]!r}") from error


def _environment() -> dict[str, str]:
    """Of a worker: nothing in it says where else HDF5 looks for the files that a file refers to."""
    kept = {k: v for k, v in os.environ.items() if not (k.startswith("HDF5_") and k.endswith("_PREFIX"))}
    return {**kept, "PYTHONUNBUFFERED": "1"}


def _settle(job: _Job, answer: Answer) -> None:
    if not job.answer.done():
        job.answer.set_result(answer)


async def _end(process: asyncio.subprocess.Process, patience: float = 0.0) -> int | None:
    """Kill a process that does not end by itself; return its exit code, or None for one that cannot be killed."""
    if patience:
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(process.wait(), patience)
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    with contextlib.suppress(TimeoutError):
        return await asyncio.wait_for(process.wait(), 5)
    return None
