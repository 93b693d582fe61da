"""Whose an error is: which plugin, distribution and hook it came from, and where in its source."""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from spindle.errors import Cancelled, PluginError, UserError

BLAME = "raised in "
# What numpy and numba say of a plugin that writes into what it was given.
_READ_ONLY = ("read-only", "readonly array")


class ContractError(PluginError):
    """A plugin does not do what the contract of its slot says; the message names it."""


def source_of(thing: Any) -> str:
    """Folder of the package, else the file, in which a class or the class of an instance is written."""
    kind = thing if isinstance(thing, type) else type(thing)
    try:
        file = inspect.getfile(kind)
    except (TypeError, OSError):
        return ""
    package = sys.modules.get(kind.__module__.partition(".")[0])
    return str(Path(file).parent) if package is not None and hasattr(package, "__path__") else file


@dataclass(frozen=True)
class Owner:
    """A plugin, or one of the observers that may wrap its hooks, as errors name it.

    Attributes
    ----------
    title : str
        ``background 'glm' of spindle-background-glm 0.1.0``.
    source : str
        Folder or file of its code.
    next_step : str
        What a user can do about it.
    """

    title: str
    source: str
    next_step: str = ""

    def owns(self, file: str) -> bool:
        """Whether a source file is its own."""
        return bool(self.source) and (file == self.source or Path(self.source) in Path(file).parents)


@dataclass(frozen=True)
class Guard:
    """Watches the calls of one plugin.

    Attributes
    ----------
    owner : Owner
    wrappers : tuple of Owner
        Observers that wrap its hooks.
    """

    owner: Owner
    wrappers: tuple[Owner, ...] = ()

    def __call__(self, hook: str) -> Any:
        """Context in which a hook runs: errors that leave it say whose they are."""
        return self._watch(hook)

    @contextmanager
    def _watch(self, hook: str) -> Iterator[None]:
        from spindle.contracts.checking import Fault

        try:
            yield
        except Fault as fault:
            raise self.broken(hook, str(fault)) from None
        except SystemExit as error:
            raise self.broken(hook, f"it tries to end the process: {error.code}") from error
        except (UserError, Cancelled):
            raise
        except Exception as error:
            self.blame(hook, error)
            raise

    def broken(self, hook: str, fault: str) -> ContractError:
        """The error of a plugin that breaks its contract."""
        return ContractError(f"{self.owner.title}: {hook} breaks its contract: {fault}{self.owner.next_step}")

    def blame(self, hook: str, error: Exception) -> None:
        """Say whose an error is, unless somebody further inside has done so."""
        if any(note.startswith(BLAME) for note in getattr(error, "__notes__", ())):
            return
        frames = list(traceback.walk_tb(error.__traceback__))
        owner, place = self._find(frames)
        note = f"{BLAME}{owner.title}, hook {hook}{place}"
        if (
            isinstance(error, ValueError | TypeError) and any(text in str(error) for text in _READ_ONLY)
        ) or "Cannot modify readonly array" in str(error):
            note += "; what a hook is given belongs to the host and cannot be changed: it has to copy first"
        error.add_note(note)

    def _find(self, frames: list[tuple[FrameType, int]]) -> tuple[Owner, str]:
        for frame, line in reversed(frames):
            file = frame.f_code.co_filename
            for owner in (self.owner, *self.wrappers):
                if owner.owns(file):
                    return owner, f", {file}:{line}"
        return self.owner, ""


def blame_of(error: BaseException) -> str:
    """What was noted of an error or of one that it came from, such as ``background 'x' of y 1.0, hook ..., file:line``."""
    seen: BaseException | None = error
    while seen is not None:
        for note in getattr(seen, "__notes__", ()):
            if note.startswith(BLAME):
                return str(note.removeprefix(BLAME))
        seen = seen.__cause__ or seen.__context__
    return ""


def trimmed(error: BaseException) -> list[str]:
    """The lines of the traceback without the frames through which the host called the plugin."""
    framework = str(Path(__file__).resolve().parent.parent)
    passing = (
        "pluggy",
        f"{framework}/plugins",
        f"{framework}/cli",
        f"{framework}/execution",
        "concurrent/futures",
        "threading.py",
    )
    stack = traceback.TracebackException.from_exception(error)
    part: traceback.TracebackException | None = stack
    while part is not None:
        kept = [f for f in part.stack if not any(text in f.filename for text in passing)]
        part.stack = traceback.StackSummary.from_list(kept or list(part.stack)[-1:])
        part = part.__cause__ or part.__context__
    return list(stack.format())


def last_line(tb: TracebackType | None) -> str:
    """``file:line`` where an exception arose."""
    frames = traceback.extract_tb(tb)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "unknown place"
