"""From settings with several values to contestants, each with the parameters of the whole chain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spindle.errors import ParameterError, PluginError, UserError
from spindle.params import Params, Plugin, read_toml, walk

__all__ = ["Declared", "Entrant", "product", "read_runs"]


@dataclass(frozen=True, slots=True)
class Entrant:
    """One that will run, or cannot.

    Attributes
    ----------
    name : str
    settings : dict of str to str
        What sets it apart, by full parameter name.
    tree : Params or None
        Parameters of `process`; None for one that cannot run.
    reason : str
        Why it cannot run.
    """

    name: str
    settings: dict[str, str] = field(default_factory=dict)
    tree: Any = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Declared:
    """What a file of runs declares.

    Attributes
    ----------
    shared : dict of str to object
        Settings of all runs.
    runs : dict of str to dict
        Settings of each run.
    runners, results : dict of str to dict
        Other programs, and finished results.
    """

    shared: dict[str, Any]
    runs: dict[str, dict[str, Any]]
    runners: dict[str, dict[str, Any]]
    results: dict[str, dict[str, Any]]


def read_runs(path: Path) -> Declared:
    """Read a file of runs.

    Raises
    ------
    UserError
        If it is no TOML, or has other tables than ``shared``, ``runs``, ``runners`` and ``results``.
    """
    content = read_toml(path, "runs to compare", "give a file of runs to compare")
    known = ("shared", "runs", "runners", "results")
    for name, value in content.items():
        if name not in known or not isinstance(value, dict):
            raise UserError(
                f"compare: {path}: {name} is none of the tables of a file of runs; write [shared], [runs.NAME], [runners.NAME] or "
                "[results.NAME]"
            )
    for kind in known[1:]:
        for name, value in content.get(kind, {}).items():
            if not isinstance(value, dict):
                raise UserError(f"compare: {path}: {kind}.{name} = {value!r} is no table; write [{kind}.{name}]")
    return Declared(
        _flat(content.get("shared", {})), {name: _flat(v) for name, v in content.get("runs", {}).items()},
        content.get("runners", {}), content.get("results", {}),
    )  # fmt: skip


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in table.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found


def product(base: Params, words: Sequence[str], declared: Declared | None, most: int) -> list[Entrant]:
    """All contestants that settings make: every combination of values, for each declared run.

    Parameters
    ----------
    base : Params
        Parameters of `process` by default.
    words : sequence of str
        ``NAME=VALUE`` or ``NAME=VALUE,VALUE``; a name given several times has all those values. What a parameter takes as one value
        is one: lists are given one after the other.
    declared : Declared or None
    most : int
        More contestants than that are refused.

    Raises
    ------
    UserError
        For a name that is no parameter, a value that nothing takes, a value given twice, too many contestants.
    """
    starts = [Entrant("", {}, base)]
    if declared is not None:
        starts = _declared_runs(base, declared)
    given: dict[str, list[str]] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.strip():
            raise UserError(f"compare: {word!r} is neither an existing file nor name=value")
        given.setdefault(name.strip(), []).append(value.strip())
    entrants, varied = starts, set()
    waiting = list(given)
    again: set[str] = set()
    while waiting:
        name = waiting.pop(0)
        try:
            entrants, is_varied = _apply(entrants, name, given[name], most)
        except (ParameterError, PluginError):
            if name in again or not waiting:  # it may belong to a plugin that a later word chooses
                raise
            again.add(name)
            waiting.append(name)
            continue
        varied |= {name} if is_varied else set()
    is_asked_for = bool(words) or (declared is not None and bool(declared.shared))
    runs = [e for e in entrants if e.settings or e.name] or ([entrants[0]] if is_asked_for else [])
    return [Entrant(_label(e, varied), e.settings, e.tree, e.reason) for e in runs]


def _declared_runs(base: Params, declared: Declared) -> list[Entrant]:
    if not declared.runs:
        return [Entrant("", {}, base.changed(declared.shared, "shared") if declared.shared else base)]
    found = []
    for name, settings in declared.runs.items():
        values = {**declared.shared, **settings}
        tree = base.changed(values, f"run {name}") if values else base
        found.append(Entrant(name, {"run": name}, tree))
    return found


def _apply(entrants: list[Entrant], name: str, texts: list[str], most: int) -> tuple[list[Entrant], bool]:
    """Every entrant with every value of a parameter; whether there are several."""
    trees = [e.tree for e in entrants if e.tree is not None]
    values: list[str] = []
    for text in texts:
        values += [text] if _accepted(trees, name, text) is None else [v.strip() for v in text.split(",")]
    fault: Exception | None = None
    for value in values:
        if not value or (fault := _accepted(trees, name, value)) is not None:
            raise fault or ParameterError(f"compare: {name}={','.join(texts)} has an empty value; leave a comma out")
    if len(set(values)) < len(values):
        twice = next(v for v in values if values.count(v) > 1)
        raise ParameterError(
            f"compare: {name}={twice} is given twice, which would be two contestants that are the same; give it once"
        )
    if len(entrants) * len(values) > most:
        raise UserError(
            f"compare: {name} makes {len(entrants) * len(values)} contestants, more than max_contestants={most}; leave values out, or "
            "raise max_contestants"
        )
    several = len(values) > 1
    found = []
    for entrant in entrants:
        for value in values:
            settings = {**entrant.settings, name: value} if several else entrant.settings
            if entrant.tree is None:
                found.append(Entrant(entrant.name, settings, None, entrant.reason))
                continue
            try:
                found.append(Entrant(entrant.name, settings, entrant.tree.changed({name: value}, "compare")))
            except (ParameterError, PluginError) as error:
                found.append(Entrant(entrant.name, settings, None, str(error)))
    return found, several


def _accepted(trees: list[Any], name: str, value: str) -> Exception | None:
    """None when at least one of the trees takes the value, else what the last one says."""
    fault: Exception | None = None
    for tree in trees:
        try:
            tree.changed({name: value}, "compare")
            return None
        except (ParameterError, PluginError) as error:
            fault = error
    return fault


def _label(entrant: Entrant, varied: set[str]) -> str:
    words = [entrant.name] if entrant.name else []
    plugins = set()
    if entrant.tree is not None:
        plugins = {e.path for e in walk(entrant.tree) if isinstance(e.leaf, Plugin)}
    for name, value in entrant.settings.items():
        if name not in varied:
            continue
        is_plugin = any(("." + path).endswith("." + name) for path in plugins)
        words.append(value if is_plugin or entrant.tree is None else f"{'.'.join(name.split('.')[-2:])}={value}")
    return ", ".join(words) or "spindle"
