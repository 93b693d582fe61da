"""Workers of a run and what they are asked to do."""

from __future__ import annotations

import itertools
import signal
import subprocess
import threading
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from spindle.errors import PluginError, UserError
from spindle.execution import module_command

from .frames import COMMON, FORGET, FORGET_COMMON, FUNCTION, ITEM, READY, receive, send

TRIES = 3
KEPT = 4  # contents that functions have in common, which a worker keeps for the next
SECONDS_TO_END = 0.5


class WorkerLost(Exception):
    """A worker ended before it answered."""


class Worker:
    """One process; asked by one thread."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] = subprocess.Popen(
            module_command("spindle_executor_processes.worker"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._known: set[int] = set()
        self._common: dict[str, None] = {}  # in the order of their last use

    def wait_until_ready(self) -> None:
        """Return when it has begun.

        Raises
        ------
        WorkerLost
            If somebody ended it meanwhile.
        PluginError
            If it cannot begin.
        """
        try:
            kind, _, _ = receive(self.process.stdout)  # type: ignore[arg-type]
        except (EOFError, OSError):
            kind = b""
        if kind != READY:
            self.process.wait()
            self.reap()
            if (code := self.process.returncode) < 0:
                raise WorkerLost(code)
            raise PluginError(
                f"executor processes: a worker cannot begin and ends with the code {code}; what it printed says why. "
                "Next: mp.method=threads"
            )

    def ask(self, job: Job, packed: bytes, live: set[int]) -> bytes:
        """Return what became of an item.

        Raises
        ------
        WorkerLost
        """
        stream: Any = self.process.stdin
        try:
            for number in self._known - live:
                send(stream, FORGET, number)
            self._known &= live
            if job.number not in self._known:
                self._share(stream, job.common)
                send(stream, FUNCTION, job.number, job.function)
                self._known.add(job.number)
            send(stream, ITEM, job.number, packed)
            return receive(self.process.stdout)[2]  # type: ignore[arg-type]
        except (EOFError, OSError) as error:
            self.kill()
            self.reap()
            raise WorkerLost(self.process.returncode) from error

    def _share(self, stream: Any, common: dict[str, bytes]) -> None:
        """Send what it has not got, and have it forget what was not used for long."""
        for name, data in common.items():
            if name not in self._common:
                send(stream, COMMON, 0, name.encode() + data)
            self._common.pop(name, None)
            self._common[name] = None
        while len(self._common) > max(KEPT, len(common)):
            name = next(iter(self._common))
            del self._common[name]
            send(stream, FORGET_COMMON, 0, name.encode())

    def kill(self) -> None:
        """End it now."""
        with suppress(OSError):
            self.process.kill()

    def reap(self) -> None:
        """Wait until it has ended."""
        try:
            self.process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self.kill()
            self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            with suppress(OSError):  # what nobody reads any more
                stream.close()  # type: ignore[union-attr]


@dataclass(eq=False, slots=True)
class Request:
    """An item and what becomes of it."""

    job: Job
    index: int
    packed: bytes
    text: Callable[[], str]
    future: Future[bytes] = field(default_factory=Future)
    n_tries: int = 0

    def lost(self, error: WorkerLost) -> UserError:
        """The error when every worker that was given the item has ended."""
        code = int(error.args[0])
        how = f"by the signal {signal.Signals(-code).name}" if code < 0 else f"with the code {code}"
        item = self.text()
        what = f"item {self.index}" + ("" if " object at 0x" in item else f" ({item[:100]})")
        return UserError(
            f"executor processes: {self.n_tries} workers ended one after the other, the last {how}, while working on {what}. A system that "
            "runs out of memory ends processes by SIGKILL: fewer workers need less, mp.nproc=; mp.method=serial shows whether the item fails "
            "by itself"
        )


class Job:
    """A map: its function, what that has in common with those of others, and how many workers it may have."""

    def __init__(self, state: _State, number: int, function: bytes, common: dict[str, bytes], n_workers: int) -> None:
        self._state, self.number, self.function, self.common = state, number, function, common
        self.n_workers = n_workers
        self.n_running = 0

    def submit(self, index: int, packed: bytes, text: Callable[[], str]) -> Future[bytes]:
        """Have an item done. ``text`` says what it is when that has to be said."""
        request = Request(self, index, packed, text)
        self._state.put(request)
        return request.future

    def close(self) -> None:
        """Drop what nobody has begun."""
        self._state.close_job(self)


class _State:
    """What threads of a pool share; it outlives the pool as long as they need."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._pending: deque[Request] = deque()
        self._live: set[int] = set()
        self._workers: set[Worker] = set()
        self._threads: list[threading.Thread] = []
        self._is_closed = False
        self._numbers = itertools.count(1)

    def open_job(self, function: bytes, common: dict[str, bytes], n_workers: int) -> Job:
        """A new map, with threads for its workers."""
        with self._changed:
            if self._is_closed:
                raise RuntimeError("the run of this executor has ended")
            job = Job(self, next(self._numbers), function, common, n_workers)
            self._live.add(job.number)
            while len(self._threads) < n_workers:
                self._threads.append(threading.Thread(target=self._serve, name="spindle-worker", daemon=True))
                self._threads[-1].start()
            return job

    def put(self, request: Request) -> None:
        """Add to what is to be done."""
        with self._changed:
            self._pending.append(request)
            self._changed.notify()

    def close_job(self, job: Job) -> None:
        """Forget what is left of a map."""
        with self._changed:
            self._live.discard(job.number)
            self._pending = deque(r for r in self._pending if r.job is not job)

    def close(self) -> None:
        """End all workers, at once those that work."""
        with self._changed:
            if self._is_closed:
                return
            self._is_closed = True
            self._pending.clear()
            self._changed.notify_all()
            workers = list(self._workers)
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.reap()

    def _next(self) -> Request | None:
        """What a worker is to do next; None at the end."""
        with self._changed:
            while not self._is_closed:
                for request in self._pending:
                    if request.job.n_running < request.job.n_workers:
                        self._pending.remove(request)
                        request.job.n_running += 1
                        return request
                self._changed.wait()
            return None

    def _serve(self) -> None:
        """Hand items to one worker, and to its successor when it is lost."""
        worker: Worker | None = None
        while (request := self._next()) is not None:
            try:
                if worker is None:
                    worker = self._hire()
                answer = worker.ask(request.job, request.packed, self._live_now())
            except WorkerLost as error:
                self._forget(worker)
                worker = None
                self._again(request, error)
            except BaseException as error:
                worker = None
                self._end(request, partial(request.future.set_exception, error))
            else:
                self._end(request, partial(request.future.set_result, answer))
        # The process ends with the thread that began it, at the latest.

    def _live_now(self) -> set[int]:
        with self._changed:
            return set(self._live)

    def _hire(self) -> Worker:
        with self._changed:
            if self._is_closed:
                raise RuntimeError("the run of this executor has ended")
            worker = Worker()
            self._workers.add(worker)
        worker.wait_until_ready()
        return worker

    def _forget(self, worker: Worker | None) -> None:
        with self._changed:
            if worker is not None:
                self._workers.discard(worker)

    def _again(self, request: Request, error: WorkerLost) -> None:
        request.n_tries += 1
        if request.n_tries < TRIES and not self._is_closed:
            with self._changed:
                request.job.n_running -= 1
                self._pending.appendleft(request)
                self._changed.notify_all()
        else:
            self._end(request, partial(request.future.set_exception, request.lost(error)))

    def _end(self, request: Request, settle: Callable[[], None]) -> None:
        with self._changed:
            request.job.n_running -= 1
            self._changed.notify_all()
        settle()


class Pool:
    """Worker processes that are begun as maps need them and stay for the next ones."""

    def __init__(self) -> None:
        self._state = _State()
        self._end = weakref.finalize(self, self._state.close)

    def open(self, function: bytes, common: dict[str, bytes], n_workers: int) -> Job:
        """Begin a map with a packed function and what that has in common with those of others."""
        return self._state.open_job(function, common, n_workers)

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *error: object) -> None:
        self._end()
