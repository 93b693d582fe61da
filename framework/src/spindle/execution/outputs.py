"""Writing what a program returned: checked before the run, atomic at its end."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from spindle import __version__
from spindle.contracts import ProgramResult
from spindle.errors import UserError
from spindle.params import FolderParam, Params, PathParam, Str
from spindle.params.tree import Entry, fields_of, find_scope, scopes_of, walk
from spindle.printable import CONTROL, PrintableFormatter

log = logging.getLogger(__name__)


def output_path(params: Params, name: str, default: str | None) -> Path | None:
    """Return ``output.<name>`` or ``output.<name>_filename``, or ``default`` for a program that has no such parameter.

    A program with one output may have a file ``output`` instead of a scope: what it returns of the kind of the default goes there.
    """
    scope = find_scope(params, "output")
    if scope is None and default is not None:
        leaf = fields_of(type(params)).get("output")
        if isinstance(leaf, PathParam) and Path(str(leaf.default_value)).suffix == Path(default).suffix:
            return Path(getattr(params, "output"))  # noqa: B009
    found = [n for n in (name, f"{name}_filename") if scope is not None and hasattr(scope, n)]
    if not found:
        return None if default is None else Path(default)
    value = getattr(scope, found[0])
    return Path(value) if isinstance(value, str | Path) and str(value) else None


def log_path(program: str, params: Params) -> Path | None:
    """Return where the log of the program goes."""
    return output_path(params, "log", f"spindle.{program}.log")


def named_outputs(program: str, params: Params) -> list[tuple[str, Path | None]]:
    """Return where experiments and reflections of a program go, in files of its own name if no parameter says so."""
    return [
        ("output.experiments", output_path(params, "experiments", f"{program}.expt")),
        ("output.reflections", output_path(params, "reflections", f"{program}.refl")),
    ]


def check_outputs(program: str, params: Params) -> None:
    """Raise `UserError` before the work when an output file could not be written after it."""
    for dotted, scope in scopes_of(params):
        if dotted == "output" or dotted.endswith(".output"):
            for entry in walk(scope):
                _check_entry(entry, f"{program}: {dotted}.{entry.path}={entry.value}")
    for entry in walk(params):
        if isinstance(entry.leaf, PathParam) and entry.leaf.output:
            _check_entry(entry, f"{program}: {entry.path}={entry.value}")


def _check_entry(entry: Entry, what: str) -> None:
    if not isinstance(entry.leaf, Str | PathParam) or not isinstance(entry.value, str | Path) or not str(entry.value):
        return
    path = Path(entry.value)
    if isinstance(entry.leaf, Str) and (not path.suffix or str(entry.value).endswith("/")):
        return
    check = check_folder if isinstance(entry.leaf, FolderParam) else check_writable
    check(path, what)


def check_folder(path: Path, what: str) -> None:
    """Raise `UserError` when ``path`` is no folder to write to and cannot be made one."""
    found = next(p for p in (path, *path.absolute().parents) if p.exists())
    if not found.is_dir():
        raise UserError(f"{what}: {found} is a file; give a folder")
    if not os.access(found, os.W_OK):
        raise UserError(
            f"{what}: cannot be written; check the permissions of {found.resolve()} or choose another folder"
        )


def check_writable(path: Path, what: str) -> None:
    """Raise `UserError` when ``path`` cannot be written."""
    if CONTROL.search(str(path)):
        raise UserError(f"{what}: the name has control characters; choose another")
    folder = path.parent
    if not folder.is_dir():
        raise UserError(f"{what}: the folder {folder} does not exist. Next: mkdir -p {folder}")
    if path.is_dir():
        raise UserError(f"{what}: is a folder; give a file name")
    if not os.access(folder, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise UserError(
            f"{what}: cannot be written; check the permissions of {folder.resolve()} or choose another folder"
        )


def write_outputs(program: str, params: Params, result: ProgramResult) -> list[Path]:
    """Write experiments, reflections and further files of a result; return what was written, in that order."""
    written: list[Path] = []
    experiments, reflections = result.experiments, result.reflections
    if experiments is not None:
        path = output_path(params, "experiments", f"{program}.expt")
        if path is not None:
            from spindle.files import write_experiments

            compact = bool(getattr(find_scope(params, "output"), "compact", False))
            _write(path, lambda p: write_experiments(experiments, p, compact), written)
    if reflections is not None:
        path = output_path(params, "reflections", f"{program}.refl")
        if path is not None:
            from spindle.files import write_reflections

            _write(path, lambda p: write_reflections(reflections, p), written)
    for name, writer in result.files.items():
        _write(Path(name), writer, written)
    return written


def _write(path: Path, writer: Callable[[Path], Any], written: list[Path]) -> None:
    from spindle.files.atomic import atomic_write, check_fence

    check_fence(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {path}: the folder cannot be made: {error.strerror}; choose another") from error
    with atomic_write(path) as temporary:
        writer(temporary)
    written.append(path)


def report_outputs(logger: logging.Logger, written: list[Path], next_step: str) -> None:
    """Say what was written and what to do next."""
    for path in written:
        logger.info("Wrote %s", path)
    if next_step:
        logger.info("Next: %s", next_step)


#: Endings of what a person opens: pages before pictures.
OPENED = (".html", ".png", ".svg", ".pdf", ".jpg", ".jpeg", ".tif", ".tiff")


def look_at(written: Iterable[Path]) -> str:
    """Return what to do after a program that names nothing: open the page or the picture that it has written; empty where there is none."""
    found = [path for path in written if path.suffix.lower() in OPENED]
    return f"open {min(found, key=lambda path: OPENED.index(path.suffix.lower()))}" if found else ""


def complete_step(step: str, written: Iterable[Path], given: Mapping[str, Sequence[Path]]) -> str:
    """Return a next step as a shell takes it.

    Parameters
    ----------
    step : str
        What a program says; ``<experiments>``, ``<reflections>`` and ``<images>`` stand for files that were given.
    written : iterable of Path
    given : dict of list of Path
        Input files by these names; those of more than four files are left to the reader. The names of all files are quoted
        where a shell would take them apart.
    """
    for path in dict.fromkeys([*written, *itertools.chain(*given.values())]):
        name = shlex.quote(str(path))
        if name != str(path) and name not in step:
            step = step.replace(str(path), name)
    for kind, paths in given.items():
        if 0 < len(paths) <= 4:
            step = step.replace(f"<{kind}>", shlex.join(map(str, paths)))
    return step


_brief: list[str] = []


@contextlib.contextmanager
def brief_console(program: str) -> Iterator[None]:
    """Inside, the console shows what ``program`` itself logs (unless it is inside another of these), and warnings; log files get
    everything.
    """
    _brief.append(f"spindle.{program}")
    try:
        yield
    finally:
        _brief.pop()


class NotMuted(logging.Filter):
    """The console's filter; see `brief_console`."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING or all(record.name == name for name in _brief)


class OursOnly(logging.Filter):
    """Lets records of Spindle and its plugins pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.name.startswith("spindle") or record.levelno >= logging.WARNING


class LogFile(logging.FileHandler):
    """A log; when it cannot be written any more (the disk is full), that is said once and the run goes on."""

    _failed = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        if not self._failed:
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Say what keeps the log from being written."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        self._failed = True
        print(f"warning: the log {self.baseFilename} cannot be written any more: {error.strerror}", file=sys.stderr)

    def close(self) -> None:
        """Close the file; what cannot be written any more is left."""
        try:
            super().close()
        except OSError as error:
            if not self._failed:
                print(f"warning: the log {self.baseFilename} is not complete: {error.strerror}", file=sys.stderr)


@contextlib.contextmanager
def log_file(program: str, params: Params) -> Iterator[None]:
    """Copy the log of everything inside into the program's log file."""
    path = log_path(program, params)
    if path is None:
        yield
        return
    check_writable(path, f"{program}: output.log={path}")
    try:
        handler = LogFile(path, mode="w", encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise UserError(f"{program}: output.log={path}: cannot be written: {error.strerror}; choose another") from error
    handler.addFilter(OursOnly())
    handler.setFormatter(PrintableFormatter("%(message)s"))
    started = datetime.now().astimezone()
    header = f"# spindle {__version__}, {program}, {started:%Y-%m-%d %H:%M:%S %z}"
    handler.handle(logging.LogRecord("spindle", logging.INFO, __file__, 0, header, None, None))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    except BaseException as error:
        record = logging.LogRecord(
            "spindle", logging.ERROR, __file__, 0, f"stopped by {type(error).__name__}: {error}", None, None
        )
        handler.handle(record)
        raise
    finally:
        root.removeHandler(handler)
        handler.close()
