"""Base classes of plugins and what programs take and return."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from .citation import Citation

if TYPE_CHECKING:
    from spindle.models import Experiments
    from spindle.report import Table
    from spindle.table import ReflectionTable


class Algorithm:
    """One way of doing a slot's work.

    Subclasses may define a nested ``class Params(spindle.params.Params)``; an instance of it arrives as
    ``self.params``. The host constructs a plugin with its parameters and the context of the run; a plugin keeps no
    other state between calls.

    Attributes
    ----------
    scope : str or None
        Name of the parameter scope when it differs from the entry point's name.
    contract : int
        Number of the slot's contract that the plugin is written for, see `spindle.contracts.CONTRACTS`.
    asks_for : tuple of (slot, name)
        Plugins that it asks its context for, whatever the parameters are: the host looks before the run whether one of them is there twice.
    citations : tuple of Citation
        Publications of the method, for `spindle cite`.
    """

    scope: ClassVar[str | None] = None
    contract: ClassVar[int] = 1
    asks_for: ClassVar[tuple[tuple[str, str], ...]] = ()
    citations: ClassVar[tuple[Citation, ...]] = ()
    Params: ClassVar[Any] = None

    def __init__(self, params: Any = None, context: Any = None) -> None:
        if params is None and self.Params is not None:
            params = self.Params()
        self.params = params
        self.context = context

    @classmethod
    def from_params(cls, params: Any = None, context: Any = None) -> Algorithm:
        """Make an instance; overridden by plugins that prepare something."""
        return cls(params, context)

    @classmethod
    def unavailable(cls) -> str:
        """Why this machine cannot run the plugin and what to do about it, a sentence or two; empty when it can.

        Overridden by plugins that need more than Python packages: a graphics processor, a licence, another program.
        """
        return ""


class Program(Algorithm):
    """A command of the `spindle` command line, and the function `spindle.run(name, ...)`.

    The class docstring is the help page; ``run`` does the work and returns a `ProgramResult`; the host writes files.

    Attributes
    ----------
    takes_words : bool
        Words of the command line that are neither options nor parameters of the program are not looked up as files but
        reach it unread, as `ProgramInputs.words`: for a program that hands them to another machine.
    settings_to : str
        Name of a parameter, a `Str` with ``multiple=True``, that collects the words ``name=value`` of the command line whose names are
        none of its own: for a program that sets the parameters of others. Files then reach it as `ProgramInputs.files`, unread.
    takes_files : bool
        Whether it reads files that are neither experiments nor reflections; others are refused when it does not.
    compares_models : bool
        Whether one experiment may be given several times, as different steps or runs have left its models; without reflections, which
        could belong to any of them.
    names_experiments : bool
        Whether experiments of several files may have one identifier, since it gives them others; tables then belong to the files of
        experiments in their order.
    goes_on : str
        Name of the switch with which the program takes up an earlier run, and may replace its outputs without being asked.
    needs_columns : dict of str to str
        Columns that every reflection table must have, and which program writes them, for the message.
    """

    takes_words: ClassVar[bool] = False
    settings_to: ClassVar[str] = ""
    takes_files: ClassVar[bool] = True
    compares_models: ClassVar[bool] = False
    names_experiments: ClassVar[bool] = False
    goes_on: ClassVar[str] = ""
    needs_columns: ClassVar[dict[str, str]] = {}

    @classmethod
    def examples(cls) -> list[str]:
        """Return the commands that the help page shows: indented lines of the docstring that begin with ``spindle``."""
        text = inspect.cleandoc(cls.__doc__ or "")
        return [line.strip() for line in text.splitlines() if line.startswith("    spindle ")]


@dataclass(slots=True)
class ProgramInputs:
    """What a program works on.

    Attributes
    ----------
    experiments : Experiments or None
        All experiments of all experiment files, in the order given.
    reflections : list of ReflectionTable
        One per reflection file, in the order given.
    files : list of Path
        Files that are neither: images, masks, folders, text.
    words : list of str
        What the command line said beside parameters, for a program with ``takes_words``.
    sources : list of Path
        The files that `experiments`, `reflections` and `files` came from; empty for objects in memory.
    """

    experiments: Experiments | None = None
    reflections: list[ReflectionTable] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    sources: list[Path] = field(default_factory=list)


@dataclass(slots=True)
class ProgramResult:
    """What a program returns; the host writes it.

    Attributes
    ----------
    experiments, reflections : optional
        Written to ``output.experiments`` and ``output.reflections``.
    tables : list of spindle.report.Table
        Tables for the log and for callers.
    summary : dict
        Key numbers (plain Python values).
    files : dict of path to writer
        Further outputs; each writer is called with a temporary path, which then replaces the target.
    next_step : str
        The command a user would run next. In it ``<experiments>``, ``<reflections>`` and ``<images>`` stand for the files
        that were given, whose names a program does not know.
    unfit : str
        Why what was written should not be used, where the user has asked that this ends the command with the exit code 3; empty otherwise.
    """

    experiments: Experiments | None = None
    reflections: ReflectionTable | None = None
    tables: list[Table] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    files: dict[str, Callable[[Path], None]] = field(default_factory=dict)
    next_step: str = ""

    def table(self, key: str) -> Table:
        """Return the table of a key.

        Raises
        ------
        KeyError
            Names the keys that there are.
        """
        for table in self.tables:
            if table.key == key:
                return table
        raise KeyError(f"no table {key!r}; there are {', '.join(t.key for t in self.tables if t.key)}")

    def write(self, *names: str) -> None:
        """Write some of the further outputs, by default all, into the current folder.

        Raises
        ------
        KeyError
            Names the outputs that there are.
        """
        from spindle.files import atomic_write

        for name in names or tuple(self.files):
            if name not in self.files:
                raise KeyError(f"no output {name!r}; there are {', '.join(self.files)}")
            with atomic_write(Path(name)) as temporary:
                self.files[name](temporary)

    def _repr_html_(self) -> str:
        return "".join(table._repr_html_() for table in self.tables)

    unfit: str = ""
