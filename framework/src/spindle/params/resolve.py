"""From assignments to an effective parameter tree.

Choices of plugins are settled first, because they decide which other parameters exist. Keys are dotted names or unique
dotted suffixes of them; whatever else is an error that names the candidates.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, cast

from spindle.errors import ParameterError, PluginError

from .advice import of_unselected, programs_with
from .expansion import expand, is_plugin
from .keys import OF_THE_RUN, OLD_NAMES, choices, matches, suggestions
from .leaves import Auto, Leaf, given_value
from .multiple_scopes import MultipleScopes
from .short_names import preset_assignments, spell_out
from .structured import Plugin
from .text import Assignment
from .tree import Entry, Params, ScopeOf, assign, attach, fields_of, find_scope, plugin_of, public_name, scopes_of, walk

P = TypeVar("P", bound=Params)

Loader = Callable[[str, str, str], type]


def default_loader(slot: str, name: str, parameter: str) -> type:
    """Load a plugin class from what is installed."""
    from spindle.plugins import registry

    return registry().load(slot, name, parameter)


def build(
    cls: type[Params],
    assignments: Iterable[Assignment] = (),
    loader: Loader = default_loader,
    host: type[Params] | None = None,
) -> Params:
    """Make the effective tree of ``cls``.

    Parameters
    ----------
    cls : subclass of Params
    assignments : iterable of Assignment
        Later ones win.
    loader : callable (slot, name, parameter) -> class
        Gives the class of a plugin; its ``Params`` is attached where it was chosen.
    host : subclass of Params, optional
        Scopes that are added unless ``cls`` has them.

    Returns
    -------
    Params
        An instance of ``cls``; scopes of chosen plugins are attached.

    Raises
    ------
    ParameterError, PluginError
    """
    return Resolver(cls, loader, host).build(list(assignments))


def make(cls: type[Params], /, **values: Any) -> Params:
    """Make the effective tree of ``cls`` from dotted names: ``make(P, **{"background.algorithm": "glm"})``."""
    return build(cls, [Assignment(k.replace("__", "."), v, "call") for k, v in values.items()])


def changed(tree: P, values: Mapping[str, Any], source: str = "call") -> P:
    """Return a copy of a tree with other values; see `Params.changed`."""
    resolver = Resolver.on(tree)
    assignments = []
    for key, value in values.items():
        path, _, name = key.rpartition(".")
        owner = find_scope(resolver.root, path)
        scope = None if owner is None else owner._scopes.get(name)
        if owner is not None and scope is not None and scope._multiple:
            elements = value if isinstance(value, list | tuple) else [value]
            made = [changed(type(scope)(), v) if isinstance(v, Mapping) else copy.deepcopy(v) for v in elements]
            assign(owner, name, made)
        elif owner is not None and isinstance(value, Params):
            assign(owner, name, copy.deepcopy(value))
        else:
            assignments.append(Assignment(key, value, source))
    entries = {e.path: e for e in walk(resolver.root)}
    if all(a.key in entries and not isinstance(entries[a.key].leaf, Plugin) for a in assignments):
        for given in assignments:  # nothing to resolve
            resolver._set(entries[given.key], given)
            resolver.sources[given.key] = given.source
        check_available(resolver.root, resolver.sources)
        return cast("P", resolver.root)
    return cast("P", resolver.build(assignments))


def check_available(params: Params, sources: Mapping[str, str] | None = None) -> None:
    """Raise when a parameter has a value that nothing heeds; see `Leaf`.

    Parameters
    ----------
    params : Params
    sources : mapping of dotted name to str
        Who gave the values.

    Raises
    ------
    ParameterError
        Names the parameter, its value, the reason and what to do.
    """
    for entry in walk(params):
        if entry.refusal:
            source = (sources or {}).get(re.sub(r"\[\d+\]", "", entry.path), "")
            given = f"{entry.path}={entry.text}" + (f" ({source})" if source else "")
            raise ParameterError(f"{given}: {entry.refusal}")


class Resolver:
    """Builds one tree; see `build`."""

    def __init__(self, cls: type[Params], loader: Loader, host: type[Params] | None) -> None:
        self.root = cls()
        self.loader = loader
        self.sources: dict[str, str] = {}
        self._listed: dict[str, Entry] | None = None
        if host is not None:
            _add_missing(self.root, host())

    @classmethod
    def on(cls, tree: Params, loader: Loader = default_loader) -> Resolver:
        """Return a resolver that changes a copy of ``tree``."""
        resolver = cls(Params, loader, None)
        resolver.root = copy.deepcopy(tree)
        return resolver

    def build(self, assignments: list[Assignment]) -> Params:
        assignments = [a for given in assignments for a in expand(given)]
        assignments = list(spell_out(assignments, type(self.root)))
        presets = preset_assignments(assignments, type(self.root))
        assignments = [*presets, *assignments]
        settled: dict[int, str] = {}
        while self._settle_choices(assignments, settled):
            pass
        while self._attach_defaults():
            while self._settle_choices(assignments, settled):
                pass
        filler = MultipleScopes()
        for i, given in enumerate(assignments):
            if i < len(presets) and given.key not in self._entries():
                continue  # of a plugin that was not chosen
            path = self._path_of(given)
            if settled.get(i, path) != path:
                self._fail(given, f"is ambiguous: {settled[i]} or {path}")
            self._assign(path, given, filler)
            self.sources[path] = given.source
        for _, scope in list(scopes_of(self.root)):
            self._attach_chosen(scope, "")
        check_available(self.root, self.sources)
        return self.root

    # -- plugins

    def _settle_choices(self, assignments: list[Assignment], settled: dict[int, str]) -> bool:
        """Set the plugin leaves that the present tree knows; return whether anything was new."""
        entries = self._entries()
        changed = False
        for i, given in enumerate(assignments):
            if i in settled:
                continue
            paths = self._matches(given, entries)
            if len(paths) != 1 or not isinstance(leaf := entries[paths[0]].leaf, Plugin):
                continue
            entry = entries[paths[0]]
            settled[i] = paths[0]
            self._set(entry, given)
            scope = paths[0].rpartition(".")[0]
            for name, value in leaf.beside(given.value).items():
                assignments.append(Assignment(f"{scope}.{name}".lstrip("."), value, given.source, given.blocks))
            changed = True
        return changed

    def _attach_defaults(self) -> bool:
        """Attach the scopes of chosen plugins that are missing; return whether there were any."""
        changed = self._attach_chosen(self.root, "")
        for path, scope in list(scopes_of(self.root)):
            changed = self._attach_chosen(scope, path + ".") or changed
        return changed

    def _attach_chosen(self, scope: Params, prefix: str) -> bool:
        changed = False
        fields = fields_of(type(scope))
        wanted = {  # several leaves of a scope may choose from one slot
            (field.slot, plugin_name)
            for name, field in fields.items()
            if isinstance(field, Plugin)
            for plugin_name in field.chosen(getattr(scope, name))
        }
        for name, field in fields.items():
            if isinstance(field, ScopeOf):
                wanted_here = (field.slot, field.plugin(scope))
                if name in scope._attached:
                    if plugin_of(scope._attached[name]) == wanted_here:
                        continue
                    self._detach(scope, name)
                self._attach(scope, name, *wanted_here, prefix + public_name(field.chosen_by or name))
                changed = True
            elif isinstance(field, Plugin) and not field.elsewhere:
                chosen = field.chosen(getattr(scope, name))
                for old, inner in list(scope._attached.items()):
                    if (plugin_of(inner) or ("",))[0] == field.slot and plugin_of(inner) not in wanted:
                        self._detach(scope, old)
                have = {plugin_of(inner) for inner in scope._attached.values()}
                for plugin_name in chosen:
                    if (field.slot, plugin_name) not in have:
                        changed = (
                            self._attach(scope, None, field.slot, plugin_name, prefix + public_name(name)) or changed
                        )
        return changed

    def _detach(self, owner: Params, name: str) -> None:
        """Take the parameters of a plugin that is no more chosen out of ``owner``."""
        del owner._attached[name], owner._scopes[name], owner.__dict__[name]
        self._listed = None

    def _attach(self, owner: Params, name: str | None, slot: str, plugin_name: str, parameter: str) -> bool:
        """Attach the parameters of a plugin to ``owner``, under the plugin's scope unless ``name`` is given."""
        from spindle.plugins import registry

        self._listed = None
        plugin: Any = self.loader(slot, plugin_name, parameter)
        params_class = getattr(plugin, "Params", None) or Params
        params = params_class()
        params.__dict__["_plugin"] = (slot, plugin_name)
        scope = name or getattr(plugin, "scope", None) or plugin_name
        if scope in owner._attached:
            other = (plugin_of(owner._attached[scope]) or ("", scope))[1]
            raise ParameterError(
                f"{parameter}: the {slot} {plugin_name!r} and {other!r} have parameters of the same names"
            )
        try:
            attach(owner, scope, params)
        except ParameterError as error:
            whose = ", ".join(
                f"{i.distribution} {i.version}" for i in registry().infos if (i.slot, i.name) == (slot, plugin_name)
            )
            raise ParameterError(
                f"{parameter}={plugin_name}: {error}; its author ({whose}) has to give it another scope"
            ) from error
        return True

    # -- keys

    def _entries(self) -> dict[str, Entry]:
        """Every parameter of the tree as it is; listed anew only when scopes came or went."""
        if self._listed is None:
            self._listed = {e.path: e for e in walk(self.root, templates=True)}
        return self._listed

    def _matches(self, given: Assignment, entries: dict[str, Entry]) -> list[str]:
        """Return the paths that a key may mean; a program's own come before those of programs that it runs, and a
        parameter before those of the scopes beside it: ``d_min`` is ``filter.d_min``, not ``filter.ice_rings.d_min``. A
        parameter of a lower level, shown earlier in the help, comes before those of higher ones of the same program.

        Where several parameters have the name of a scope that chooses a plugin, an installed plugin's name as the value
        means the choice. The number of workers, without more, is that of the run.
        """
        paths = matches(given.key, entries)
        if len(paths) > 1:
            if OF_THE_RUN.get(given.key) in paths:
                return [OF_THE_RUN[given.key]]
            chosen = [p for p in choices(given.key, entries) if is_plugin(entries[p].leaf, given.value)]
            if len(chosen) == 1:
                return chosen
            others = tuple(
                f"{public_name(n)}." for n, f in fields_of(type(self.root)).items() if isinstance(f, ScopeOf)
            )
            own = [p for p in paths if not p.startswith(others)] if others else []
            if len(own) == 1:
                return own
            outer = [p for p in paths if all(q.startswith(p.removesuffix(p.rpartition(".")[2])) for q in paths)]
            if len(outer) == 1:
                return outer
            lowest = min(entries[p].level for p in paths)
            usual = [p for p in paths if entries[p].level == lowest]
            is_one_program = len({p.partition(".")[0] if p.startswith(others) else "" for p in paths}) == 1
            if len(usual) == 1 and is_one_program:
                return usual
        return paths

    def _path_of(self, given: Assignment) -> str:
        entries = self._entries()
        paths = self._matches(given, entries)
        if len(paths) == 1:
            return paths[0]
        if paths:
            self._fail(given, "is ambiguous; write one of " + ", ".join(paths))
        if of_another := of_unselected(given.key, self._entries()):
            self._fail(given, of_another)
        for old, remedy in OLD_NAMES.items():
            if given.key == old or given.key.endswith("." + old):
                self._fail(given, f"is not a parameter: {remedy}")
        close = [p for p in entries if p.endswith("." + given.key)] or suggestions(given.key, list(entries))
        hint = f"; did you mean {' or '.join(close)}?" if close else "; the help (-hh) lists all parameters"
        others = programs_with(given.key, type(self.root), self.loader)
        if others:
            named = " and ".join(filter(None, [", ".join(others[:-1]), others[-1]]))
            hint += ("" if hint.endswith("?") else ".") + f" It is a parameter of spindle {named}"
        self._fail(given, "is not a parameter" + hint)
        raise AssertionError  # _fail raises

    def _fail(self, given: Assignment, message: str) -> None:
        key = given.key if len(given.key) < 200 else given.key[:60] + "..."
        # A file may be no parameter file at all: what is no parameter is not shown with its value.
        what = f"{key}={_text(given.value)}" if given.source in ("command line", "call", "request") else key
        raise ParameterError(f"{what} ({given.source}): {key} {message}")

    # -- values

    def _set(self, entry: Entry, given: Assignment, path: str = "") -> None:
        try:
            if given.value is None and not entry.leaf.allows_none and entry.leaf.multiple:
                assign(entry.owner, entry.name, ())
            else:
                assign(entry.owner, entry.name, given_value(entry.leaf, given.value))
        except PluginError as error:
            raise type(error)(f"{path or entry.path}={_text(given.value)} ({given.source}): {error}") from error
        except ValueError as error:
            expected = entry.leaf.describe()
            choices = expected.partition("of: ")[2]
            told = choices and choices in str(error)  # "one of: a, b" after "choose from a, b"
            more = "" if told or str(error).startswith("expected a ") else f" (expected {expected})"
            raise ParameterError(
                f"{path or entry.path}={_text(given.value)} ({given.source}): {error}{more}"
            ) from error

    def _assign(self, path: str, given: Assignment, filler: MultipleScopes) -> None:
        entries = self._entries()
        owner, name = filler.owner_of(self.root, path, given)
        entry = Entry(path, owner, name, entries[path].leaf, 0)
        if entry.leaf.multiple and isinstance(given.value, str):
            if given.value.strip().lower() == "none":
                assign(owner, name, ())
                return
            fresh = filler.first_time(owner, name)
            before = [] if fresh else list(getattr(owner, name))
            try:
                assign(owner, name, [*before, entry.leaf.parse_one(given.value.strip())])
            except ValueError as error:
                raise ParameterError(f"{path}={given.value} ({given.source}): {error}") from error
            return
        self._set(entry, given, path)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


def _add_missing(root: Params, host: Params) -> None:
    for name, field in fields_of(type(host)).items():
        if isinstance(field, Leaf):
            continue
        have_executor = any(
            isinstance(e.leaf, Plugin) and e.leaf.slot == "executor" for e in walk(root, templates=True)
        )
        if name in root._scopes or (
            name == "mp" and (have_executor or any(p.endswith("mp") for p, _ in scopes_of(root)))
        ):
            continue
        scope = getattr(host, name)
        attach(root, name, scope)


__all__ = ["Auto", "Loader", "Resolver", "build", "changed", "check_available", "default_loader", "make"]
