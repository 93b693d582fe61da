"""The screen of a run: key lines and tables, warnings that look like warnings, colour on a terminal only."""

from __future__ import annotations

import logging
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from spindle.execution.outputs import NotMuted, OursOnly
from spindle.printable import printable
from spindle.report import Table
from spindle.report.screen import has_colours, on_screen, wrapped

from .machine import silence

__all__ = ["ConsoleHandler", "set_up_console"]

COLOURS = {"warning": "\033[33m", "error": "\033[1;31m", "next": "\033[1;36m", "wrote": "\033[2m"}
PLAIN = "\033[0m"
# Of lines, and of tables, that differ in names and numbers only and follow one another, the screen shows so many: there may be thousands.
# Two or three kinds that take turns, as for each experiment, follow one another, too.
MOST_LINES, MOST_TABLES, MOST_KINDS = 12, 3, 4


def coloured(text: str, kind: str, stream: Any) -> str:
    """Return a line in the colour of its kind (one of `COLOURS`), where the stream shows colours."""
    if not has_colours(stream):
        return text
    return "\n".join(f"{COLOURS[kind]}{line}{PLAIN}" if line else line for line in text.split("\n"))


def table_of(record: logging.LogRecord) -> Table | None:
    """Return the table that a record shows, if it shows one."""
    args = record.args
    return args[0] if isinstance(args, tuple) and len(args) == 1 and isinstance(args[0], Table) else None


class ScreenFormatter(logging.Formatter):
    """A record as the screen shows it.

    Parameters
    ----------
    verbose : bool
        Whether long tables are shown in full.
    """

    def __init__(self, verbose: bool = False) -> None:
        super().__init__("%(message)s")
        self.verbose = verbose

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record: tables fitted to the terminal, other lines broken between words."""
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        table = table_of(record)
        if table is not None:
            return on_screen(table, width, has_colours(sys.stdout), getattr(record, "log", ""), self.verbose)
        text = printable(super().format(record))
        warns = record.levelno >= logging.WARNING
        fails = record.levelno >= logging.ERROR
        if warns and not fails and not text.lower().startswith("warning"):
            text = f"Warning: {text}"
        if width is not None:
            text = wrapped(text, width)
        if warns:
            return coloured(text, "error" if fails else "warning", sys.stdout)
        for start, kind in (("Next: ", "next"), ("Wrote ", "wrote")):
            if text.startswith(start):
                return coloured(text, kind, sys.stdout)
        return text


class KeyOnly(logging.Filter):
    """Lets pass what is not marked as a detail, and of many alike lines or tables in a row the first; counts the rest."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = 0
        self._recent: dict[tuple[Any, ...], int] = {}  # how many of a kind there were, the last kind last

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the screen shows a record."""
        table = table_of(record)
        detail = getattr(record, "detail", False) if table is None else table.detail
        if (record.levelno < logging.WARNING and detail) or self._is_one_more(record, table):
            self.hidden += record.getMessage().count("\n") + 1
            return False
        return True

    def _is_one_more(self, record: logging.LogRecord, table: Table | None) -> bool:
        """Whether as many like it were shown just before; errors, events, and texts without words of their own, are like nothing."""
        key: tuple[Any, ...] | None = (record.pathname, record.lineno, record.msg)
        if table is not None:
            key = (re.sub(r"\d+", "", table.title), *table.headers)
        elif (
            record.levelno >= logging.ERROR or getattr(record, "event", False) or record.msg == "%s" or not record.args
        ):
            key = None
        if key is None:
            self._recent.clear()
            return False
        n = self._recent[key] = self._recent.pop(key, 0) + 1
        if len(self._recent) > MOST_KINDS:
            del self._recent[next(iter(self._recent))]
        return n > (MOST_LINES if table is None else MOST_TABLES)


class ConsoleHandler(logging.StreamHandler[Any]):
    """Writes to what `sys.stdout` is at the moment, since a progress bar puts itself between; falls silent when nobody
    reads any more (``spindle ... | head``): the run goes on and its log file is complete.

    Parameters
    ----------
    verbose : bool
        Show details and whole tables too.
    """

    def __init__(self, verbose: bool = False) -> None:
        super().__init__()
        self.setFormatter(ScreenFormatter(verbose))
        self.addFilter(OursOnly())
        self.addFilter(NotMuted())
        self.key_only = KeyOnly()
        if not verbose:
            self.addFilter(self.key_only)

    @property
    def stream(self) -> Any:
        return sys.stdout

    @stream.setter
    def stream(self, value: Any) -> None:
        """Ignore the stream that the base class wants to keep."""

    def say_what_is_hidden(self, log: Path | None) -> None:
        """Say once how many lines the screen did not show, and where they are."""
        n = self.key_only.hidden
        if n and self.level <= logging.INFO:
            where = f"in {log}; -v shows them here" if log else "shown with -v"
            print(coloured(f"{n} more lines are {where}", "wrote", sys.stdout))

    def handleError(self, record: logging.LogRecord) -> None:
        if isinstance(sys.exc_info()[1], BrokenPipeError):
            logging.getLogger().removeHandler(self)
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        elif isinstance(error := sys.exc_info()[1], OSError):
            logging.getLogger().removeHandler(self)
            silence()
            print(
                f"warning: standard output cannot be written ({error.strerror}); the run goes on, and its log file has everything",
                file=sys.stderr,
            )
        else:
            super().handleError(record)


def set_up_console(options: set[str]) -> ConsoleHandler:
    """Send the log to standard output: what the user reads is INFO; ``-v`` adds details and DEBUG, ``-q`` leaves warnings."""
    root = logging.getLogger()
    verbose = "verbose" in options
    level = logging.DEBUG if verbose else logging.INFO
    root.setLevel(level)
    logging.getLogger("numba").setLevel(logging.WARNING)
    handler = ConsoleHandler(verbose)
    handler.setLevel(logging.WARNING if "quiet" in options else level)
    root.addHandler(handler)
    return handler
