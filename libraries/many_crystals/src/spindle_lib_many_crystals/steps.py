"""Programs one after the other: what each is given, and where its pages go."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from spindle.contracts import ProgramResult
from spindle.execution import HeardWarnings
from spindle.models import Experiments
from spindle.params import Params, walk
from spindle.report import Table
from spindle.table import ReflectionTable

__all__ = ["LOGS", "PROCESSING", "Steps", "settings_of"]

LOGS, PROCESSING = "LogFiles", "Processing"
_PAGES = {".html", ".png"}


def settings_of(params: Params, scope: str, prefix: str = "", leave: tuple[str, ...] = ()) -> dict[str, Any]:
    """Parameters of a scope, as those of another program that calls them alike.

    Parameters
    ----------
    params : Params
        The whole tree.
    scope : str
        Dotted name, with a dot at its end.
    prefix : str
        What the other program has in its place.
    leave : tuple of str
        Names below the scope that are not wanted.
    """
    within = ((entry.path.removeprefix(scope), entry) for entry in walk(params) if entry.path.startswith(scope))
    return {prefix + name: entry.value for name, entry in within if name not in leave and not entry.leaf.unavailable}


class Steps:
    """Runs programs in memory and keeps what they leave behind.

    Parameters
    ----------
    context : RunContext
    keep : bool
        Also keep numbers and data of every step, in the folder Processing.

    Attributes
    ----------
    files : dict of str to writer
        Pages of the steps so far, and with `keep` their numbers.
    rows : list of list
        Step, seconds, and result in short.
    """

    def __init__(self, context: Any, keep: bool) -> None:
        self.context, self.keep = context, keep
        self.files: dict[str, Callable[[Path], Any]] = {}
        self.rows: list[list[Any]] = []
        self._warnings = HeardWarnings()
        self._folder = Path(context.enter(tempfile.TemporaryDirectory(prefix="spindle-steps-")))
        self._n = 0

    def __enter__(self) -> Steps:
        self._warnings.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._warnings.__exit__()

    @property
    def warnings(self) -> list[tuple[str, str]]:
        """Step and first line of all that was warned of, each once."""
        return self._warnings.once

    def run(
        self,
        program: str,
        experiments: Experiments,
        reflections: ReflectionTable | None,
        settings: Mapping[str, Any],
        of: str = "",
    ) -> ProgramResult:
        """Run a program on data; `of` says of which part of them, and names the folder of its pages."""
        self._n += 1
        self.context.check_cancelled()
        name = f"{self._n:02d}_{program}"
        self._warnings.step = f"{program} of {of}" if of else program
        self.context.log.info("%s ...", self._warnings.step)
        began = time.perf_counter()
        result: ProgramResult = self.context.run_program(program, experiments, reflections, brief=True, **settings)
        self.rows.append([self._warnings.step, round(time.perf_counter() - began, 2), _in_short(result.summary)])
        folder = f"{LOGS}/{of}" if of else LOGS
        for path, writer in result.files.items():
            if Path(path).suffix in _PAGES:
                self.files[f"{folder}/{name}{Path(path).suffix}"] = writer
            elif self.keep and Path(path).suffix == ".json":
                self.files[f"{PROCESSING}/{name}.json"] = writer
        return result

    def numbers(self, result: ProgramResult, name: str) -> dict[str, Any]:
        """What a step says in its JSON file `name`."""
        path = self.written(result.files[name], name)
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found

    def written(self, writer: Callable[[Path], Any], name: str) -> Path:
        """A file in a folder that goes at the end of the run."""
        path = self._folder / Path(name).name
        writer(path)
        return path

    def table(self) -> Table:
        """The steps, for the log and the page."""
        return Table("Steps", ["Step", "Seconds", "Result"], self.rows, "steps")


def _in_short(summary: Mapping[str, Any]) -> str:
    words = []
    for key, value in summary.items():
        if isinstance(value, bool | int) or (isinstance(value, str) and len(value) < 40):
            words.append(f"{key}={value}")
        elif isinstance(value, float):
            words.append(f"{key}={value:.4g}")
    return ", ".join(words[:5])
