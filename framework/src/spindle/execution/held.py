"""Context managers that a run has entered on behalf of its plugins."""

from __future__ import annotations

import logging
import threading
from contextlib import AbstractContextManager, ExitStack
from typing import TypeVar

Entered = TypeVar("Entered")


class Held:
    """Context managers that are left together, the last first.

    Parameters
    ----------
    log : logging.Logger
        Told of those that cannot be left.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._stack = ExitStack()
        self._lock = threading.Lock()

    def enter(self, manager: AbstractContextManager[Entered]) -> Entered:
        """Enter a context manager; may be called from any thread."""
        with self._lock:
            return self._stack.enter_context(manager)

    def close(self) -> None:
        """Leave all; one that fails is logged and the others are left all the same."""
        with self._lock:
            stack, self._stack = self._stack, ExitStack()
        try:
            stack.close()
        except Exception as error:
            self._log.warning(
                "Warning: something that a plugin held could not be closed: %s: %s", type(error).__name__, error
            )
