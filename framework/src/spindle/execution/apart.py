"""Work in another process: what travels there, what a worker does first, and what comes home.

An executor that leaves the process packs the function of a map once (`pack_function`) and each item (`pack_item`), has a worker do
`work` on them there, and turns what comes back into a result here (`unpack`): log lines, warnings and errors of the worker come out where
the result is asked for, so in the order of the items. What the functions of many maps hold (`Common`) may travel beside them
(`pack_apart`), once for each worker.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any

from spindle.errors import PluginError, UserError
from spindle.plugins import PluginFile, add_plugin_files, plugin_files

from .common import Common, dumped, loaded
from .compile_cache import prepare_compile_cache
from .executor import name_item, run_item

__all__ = [
    "Common",
    "Function",
    "begin_worker",
    "open_function",
    "pack_apart",
    "pack_function",
    "pack_item",
    "unpack",
    "work",
]

# Libraries that would start as many threads as there are cores in each of the workers.
ONE_THREAD = (
    "NUMBA_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
_tell = threading.local()


@dataclass(frozen=True, slots=True)
class _Surroundings:
    """What a task finds in another process as it is here.

    Attributes
    ----------
    version : str
        Of the host.
    folder : str
        Current folder.
    path : tuple of str
        Where modules are looked for.
    level : int
        Log records below it are not sent home.
    is_strict : bool
        See `spindle.plugins.is_strict`.
    context : bytes
        The run, pickled; it says how files are opened.
    plugins : tuple of PluginFile
        Plugins that were given as files.
    """

    version: str
    folder: str
    path: tuple[str, ...]
    level: int
    is_strict: bool
    context: bytes
    plugins: tuple[PluginFile, ...]

    @classmethod
    def here(cls) -> _Surroundings:
        """Those of this process."""
        from spindle import __version__
        from spindle.plugins import is_strict
        from spindle.plugins.host import current_context

        level = min(logging.getLogger(n).getEffectiveLevel() for n in ("", "spindle"))
        path = tuple(p for p in sys.path if os.path.isabs(p))
        return cls(__version__, os.getcwd(), path, level, is_strict(), pickle.dumps(current_context()), plugin_files())

    def enter(self) -> None:
        """Make this process like the one that they are from."""
        sys.path += [p for p in self.path if p not in sys.path]
        if os.path.isdir(self.folder):  # another machine may have no such folder; then files are named in full
            os.chdir(self.folder)
        if self.is_strict:
            os.environ["SPINDLE_STRICT"] = "1"
        prepare_compile_cache()
        add_plugin_files(self.plugins)
        root, collector = logging.getLogger(), _Collector.of_this_process()
        if collector not in root.handlers:
            root.addHandler(collector)
        root.setLevel(min(self.level, root.level or self.level))
        logging.getLogger("numba").setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True)
class Function:
    """The function of a map in the process of a worker, see `open_function`.

    Attributes
    ----------
    call : callable
    context : object
        The run that it belongs to.
    """

    call: Callable[[Any], Any]
    context: Any


@dataclass(slots=True)
class _Outcome:
    """What became of an item.

    Attributes
    ----------
    value : object
    error : BaseException or None
    trace : str
        Where in the worker the error was raised.
    told : list of (logging.LogRecord or (message, category, file, line))
        Log records and warnings, in their order.
    """

    value: Any = None
    error: BaseException | None = None
    trace: str = ""
    told: list[Any] = field(default_factory=list)


class _Elsewhere(Exception):
    """Stands as the cause of an error of a worker and shows its traceback there."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class _Collector(logging.Handler):
    """Keeps the records of the item that its thread works on."""

    _made: _Collector | None = None

    @classmethod
    def of_this_process(cls) -> _Collector:
        """The only one; it also gets the warnings."""
        if cls._made is None:
            cls._made = cls()
            usual = warnings.showwarning

            def show(message: Any, category: Any, filename: str, lineno: int, *rest: Any, **named: Any) -> None:
                told = getattr(_tell, "told", None)
                if told is None:
                    usual(message, category, filename, lineno, *rest, **named)
                elif (one := (str(message), category, filename, lineno)) not in told:
                    told.append(one)

            warnings.showwarning = show
        return cls._made

    def emit(self, record: logging.LogRecord) -> None:
        told = getattr(_tell, "told", None)
        if told is None:
            return
        record.msg, record.args = record.getMessage(), None
        if record.exc_info:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
            record.exc_info = None
        told.append(record)


# -- here
# ----------------------------------------------------------------------------------------------------------------------


def pack_function(function: Callable[[Any], Any]) -> bytes:
    """Return a function, with what it holds and with the surroundings of this process, as bytes.

    Raises
    ------
    PluginError
        If it cannot travel.
    """
    return pickle.dumps((_Surroundings.here(), _dumps(function, f"the function {_called(function)}")))


def pack_apart(function: Callable[[Any], Any]) -> tuple[bytes, dict[str, bytes]]:
    """Return a function as `pack_function` does, and the contents of each `Common` that it holds by their names.

    Raises
    ------
    PluginError
        If it cannot travel.
    """
    common: dict[str, bytes] = {}
    packed = _dumps(function, f"the function {_called(function)}", common)
    return pickle.dumps((_Surroundings.here(), packed)), common


def pack_item(index: int, item: Any) -> bytes:
    """Return an item as bytes; see `pack_function`."""
    return _dumps((index, item), f"item {index}")


def unpack(outcome: bytes) -> Any:
    """Return the result in what `work` gave, or raise its error; what the worker told is told here."""
    done: _Outcome = pickle.loads(outcome)
    for told in done.told:
        if isinstance(told, logging.LogRecord):
            logger = logging.getLogger(told.name)
            if logger.isEnabledFor(told.levelno):
                logger.handle(told)
        else:
            message, category, filename, lineno = told
            warnings.warn_explicit(message, category, filename, lineno, registry=_shown)
    if done.error is None:
        return done.value
    if not isinstance(done.error, UserError):
        done.error.__cause__ = _Elsewhere(done.trace)
    raise done.error


_shown: dict[Any, Any] = {}


def _called(function: Any) -> str:
    function = getattr(function, "func", function)
    return str(getattr(function, "__qualname__", type(function).__qualname__))


def _dumps(thing: Any, what: str, common: dict[str, bytes] | None = None) -> bytes:
    try:
        packed = dumped(thing, common)
    except PluginError:
        raise
    except Exception as error:
        raise PluginError(
            f"{what} cannot be sent to another process: {error}. Next: mp.method=threads, or make it a function or dataclass at the top of "
            "a module"
        ) from error
    main: Any = sys.modules.get("__main__")
    if b"__main__" in packed and getattr(main, "__spec__", None) is None and _is_of_main(thing):
        raise PluginError(
            f"{what} is defined in the script itself, which other processes do not run. Next: mp.method=threads, or put it into a module"
        )
    return packed


def _is_of_main(thing: Any) -> bool:
    inner = getattr(thing, "func", thing)
    return getattr(inner, "__module__", "") == "__main__" or type(inner).__module__ == "__main__"


# -- in the worker
# ----------------------------------------------------------------------------------------------------------------------


def begin_worker() -> None:
    """Settle a process that does nothing but work for another one; before numba is imported.

    It does not answer to Ctrl-C, which the process that it works for deals with, and computes in one thread.
    """
    for name in ONE_THREAD:
        os.environ[name] = "1"
    with suppress(ValueError):  # not the main thread
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.simplefilter("always")  # the filters of the other process decide


def open_function(packed: bytes, common: MutableMapping[str, Any] | None = None) -> Function:
    """Return what `pack_function` packed, or `pack_apart`.

    Parameters
    ----------
    packed : bytes
    common : mutable mapping of str to bytes, optional
        What the function has in common with others; contents that it holds are opened and left there for the next function.

    Raises
    ------
    PluginError
        If another version of Spindle packed it, or it cannot be made here.
    """
    from spindle import __version__

    surroundings, function = pickle.loads(packed)
    if surroundings.version != __version__:
        raise PluginError(
            f"this run is of Spindle {surroundings.version}, the worker on {os.uname().nodename if hasattr(os, 'uname') else 'its machine'} "
            f"has Spindle {__version__}; install the same version of all distributions on both"
        )
    surroundings.enter()
    context = pickle.loads(surroundings.context)
    with _of_the_run(context):
        return Function(loaded(function, {} if common is None else common), context)


def work(function: Function | BaseException, packed: bytes) -> bytes:
    """Do an item that `pack_item` packed; return what `unpack` takes. An error instead of a function is the error of the item."""
    done = _Outcome()
    _tell.told = done.told
    index, item = -1, None
    try:
        if isinstance(function, BaseException):
            raise function
        with _of_the_run(function.context):
            index, item = pickle.loads(packed)
            done.value = run_item(function.call, index, item)
    except BaseException as error:
        done.error, done.trace = _portable(error), traceback.format_exc()
    finally:
        _tell.told = None
    try:
        return pickle.dumps(done, protocol=5)
    except Exception as error:
        fault = TypeError(f"the result cannot be sent to another process: {error}")
        name_item(fault, index, item)
        return pickle.dumps(_Outcome(None, fault, traceback.format_exc()), protocol=5)


@contextmanager
def _of_the_run(context: Any) -> Iterator[None]:
    from spindle.execution.context import RunContext
    from spindle.plugins.host import running

    with running(context) if isinstance(context, RunContext) else nullcontext():
        yield


def _portable(error: BaseException) -> BaseException:
    """The error, or one that says the same if it does not survive the journey."""
    error.__traceback__ = None
    try:
        again = pickle.loads(pickle.dumps(error))
        if type(again) is type(error) and str(again) == str(error):
            return error
    except Exception:
        pass
    kind: type[Exception] = UserError if isinstance(error, UserError) else RuntimeError
    other = kind(str(error) if kind is UserError else f"{type(error).__name__}: {error}")
    for note in getattr(error, "__notes__", ()):
        other.add_note(note)
    return other
