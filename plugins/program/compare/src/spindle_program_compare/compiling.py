"""The processor time that compiling kernels takes: it is spent once, by whoever comes first, and is nobody's cost."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Any

from numba.core import event

__all__ = ["Compiling"]


class Compiling(event.Listener):  # type: ignore[misc]
    """Counts while it is entered.

    Attributes
    ----------
    seconds : float
        Processor time of all threads of this process, or of the one that entered, in compilations.
    """

    def __init__(self, of_this_thread: bool) -> None:
        self.seconds = 0.0
        self._only = threading.get_ident() if of_this_thread else None
        self._lock = threading.Lock()
        self._open: dict[
            int, tuple[int, float]
        ] = {}  # depth and begin by thread: a kernel compiles those that it calls

    def __enter__(self) -> Compiling:
        event.register("numba:compile", self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        event.unregister("numba:compile", self)

    def on_start(self, event: Any) -> None:
        """A compilation begins."""
        thread = threading.get_ident()
        depth, began = self._open.get(thread, (0, time.thread_time()))
        self._open[thread] = depth + 1, began

    def on_end(self, event: Any) -> None:
        """A compilation ends."""
        thread = threading.get_ident()
        depth, began = self._open.pop(thread, (0, 0.0))
        if depth > 1:
            self._open[thread] = depth - 1, began
        elif depth == 1 and self._only in (None, thread):
            with self._lock:
                self.seconds += time.thread_time() - began
