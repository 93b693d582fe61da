"""Warnings of a step say which contestants they are about."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator, Sequence

__all__ = ["warnings_of"]

#: More names than that are counted.
MOST_NAMES = 3


class _Named(logging.Filter):
    """Adds words to the warnings of a thread, or of all."""

    def __init__(self, words: str, thread: int | None) -> None:
        super().__init__()
        self.words, self.thread = words, thread

    def filter(self, record: logging.LogRecord) -> bool:
        """Let everything pass; a record that goes to several handlers is changed once."""
        ours = self.thread is None or record.thread == self.thread
        if ours and record.levelno >= logging.WARNING and not hasattr(record, "contestants"):
            record.contestants = self.words
            if isinstance(record.args, tuple) and record.args:
                record.msg, record.args = f"{record.msg} (%s)", (*record.args, self.words)
            else:
                record.msg, record.args = "%s (%s)", (record.getMessage(), self.words)
        return True


@contextlib.contextmanager
def warnings_of(names: Sequence[str], thread_only: bool) -> Iterator[None]:
    """Inside, warnings end with the names of contestants.

    Parameters
    ----------
    names : sequence of str
        Nothing is added where there are none.
    thread_only : bool
        Whether other threads do the steps of others meanwhile.
    """
    if not names:
        yield
        return
    words = ", ".join(names[:MOST_NAMES]) + (f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else "")
    named = _Named(words, threading.get_ident() if thread_only else None)
    handlers = list(logging.getLogger().handlers)
    for handler in handlers:
        handler.addFilter(named)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(named)
