"""Progress of the work: a bar on a terminal, events for observers, nothing in files."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

#: A wait of more seconds than this is shown, also where nothing counts its progress.
LONG_S = 2.0

Listener = Callable[[str, float, float | None], None]


class Progress:
    """Context manager that counts ``advance(n)`` up to ``total``.

    Parameters
    ----------
    description : str
        What is being done.
    total : float or None
        Number of units, None if unknown.
    listener : callable (description, completed, total), optional
        Told at most ten times a second, and at the end.
    show : bool
        Draw a bar on standard error.
    check : callable, optional
        Called with each advance; raises when the run was cancelled.
    """

    def __init__(
        self,
        description: str,
        total: float | None = None,
        listener: Listener | None = None,
        show: bool = False,
        check: Callable[[], None] | None = None,
    ) -> None:
        self.description = description
        self.total = total
        self.completed = 0.0
        self._listener = listener
        self._show = show
        self._check = check
        self._bar: Any = None
        self._task: Any = None
        self._told = 0.0

    def __enter__(self) -> Progress:
        if self._show:
            self._bar = _open_display()
            self._task = self._bar.add_task(self.description, total=self.total)
        self._tell()
        return self

    def advance(self, n: float = 1) -> None:
        """Count ``n`` more units as done."""
        self.completed += n
        if self._check is not None:
            self._check()
        if self._bar is not None:
            self._bar.update(self._task, completed=self.completed)
        if time.monotonic() - self._told > 0.1:
            self._tell()

    def _tell(self) -> None:
        self._told = time.monotonic()
        if self._listener is not None:
            self._listener(self.description, self.completed, self.total)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tell()
        if self._bar is not None:
            self._bar.update(self._task, visible=False)
            _close_display()


@contextlib.contextmanager
def waiting(description: str, show: bool, after_s: float = LONG_S) -> Iterator[None]:
    """Show that something is going on when the inside takes long: for work that counts no progress.

    Parameters
    ----------
    description : str
    show : bool
        Whether to show anything; see `is_terminal`.
    after_s : float, seconds
        When it appears.
    """
    if not show:
        yield
        return
    tasks: list[tuple[Any, Any]] = []
    over, lock = threading.Event(), threading.Lock()

    def appear() -> None:
        if over.wait(after_s):
            return
        with lock:
            if not over.is_set():
                bar = _open_display()
                tasks.append((bar, bar.add_task(description, total=None)))

    thread = threading.Thread(target=appear, daemon=True)
    thread.start()
    try:
        yield
    finally:
        with lock:
            over.set()
        thread.join()
        for bar, task in tasks:
            bar.update(task, visible=False)
            _close_display()


_displays: list[Any] = []
_opening = threading.Lock()


def _open_display() -> Any:
    """Return the one bar display of the process; nested progress adds lines to it."""
    with _opening:
        if not _displays:
            _displays.append(_new_display())
        else:
            _displays.append(_displays[0])
        return _displays[0]


def _new_display() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    bar = Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        # Lines that are printed meanwhile go above the bar; a redirected standard output is left alone.
        redirect_stdout=sys.stdout.isatty(),
    )
    bar.start()
    return bar


def _close_display() -> None:
    with _opening:
        bar = _displays.pop()
        if not _displays:
            bar.stop()


def is_terminal() -> bool:
    """Return whether standard error is a terminal."""
    return sys.stderr is not None and sys.stderr.isatty()
