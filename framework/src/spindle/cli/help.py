"""Help on programs and plugins, and the effective tree as text."""

from __future__ import annotations

import inspect
import sys
import textwrap
from typing import Any

from spindle.errors import UserError
from spindle.params import Entry, Params, walk
from spindle.params.short_names import short_names_of
from spindle.params.tree import LEVEL_UNAVAILABLE, fields_of

WIDTH = 100


def help_command(words: list[str]) -> int:
    """``spindle help NAME [-hh]``: a program, a plugin (``background.glm`` or ``glm``) or a slot; other words are searched for."""
    from spindle.contracts import SLOTS
    from spindle.execution.compile_cache import prepare_compile_cache
    from spindle.execution.runner import effective_params, make_host
    from spindle.plugins import registry

    level = max([1, *(w.count("h") - 1 for w in words if w.startswith("-h"))])
    names = [w for w in words if not w.startswith("-")]
    plugins = registry()
    for name in names:
        key = name.replace("-", "_")
        if key in plugins.names("program"):
            print(program_help(key, effective_params(key, [], make_host()), level))
            continue
        if key in plugins.slots or key in SLOTS:
            print(slot_help(key))
            continue
        found = plugins.named(name)
        if not found:
            from .search import search_text

            print(search_text(name))
            continue
        if len({(i.slot, i.distribution) for i in found}) > 1:
            raise UserError(f"{name!r} is ambiguous; write one of " + ", ".join(f"{i.slot}.{i.name}" for i in found))
        prepare_compile_cache()
        info = found[0]
        plugin: Any = plugins.load(info.slot, info.name)
        scope = getattr(plugin, "scope", None) or info.name
        print(f"{info.slot}.{info.name}: {info.summary}\n({info.distribution} {info.version})\n")
        print(docstring(plugin) + "\n")
        params = plugin.Params() if getattr(plugin, "Params", None) else Params()
        print("parameters:\n" + (parameter_help(params, level, f"{scope}.") or "  none"))
    if not names:
        raise UserError(
            "spindle help: name a program, a plugin such as background.glm, or a slot, or give a word to search for"
        )
    return 0


def slot_help(slot: str) -> str:
    """Return what a slot is for, its hooks and what is installed."""
    from spindle.contracts import CONTRACTS
    from spindle.plugins import registry, spec_of
    from spindle.plugins.loading import hooks_of

    lines = []
    spec = spec_of(slot)
    if spec is not None:
        lines += [f"{docstring(spec)}\n\ncontract {CONTRACTS[slot]}", ""]
        for name, function in hooks_of(spec).items():
            lines.append(f"hook {name}{inspect.signature(function)}")
            lines.append(textwrap.indent(inspect.cleandoc(function.__doc__ or ""), "    "))
    for name, thing in types_of(slot).items():
        lines += [f"\n{name} (in {thing.__module__})", textwrap.indent(docstring(thing), "    ")]
    lines.append("\ninstalled:")
    width = max((len(n) for n in registry().names(slot)), default=0)
    lines += [f"  {i.name:<{width}}  {i.summary}" for i in registry().infos if i.slot == slot] or ["  none"]
    return "\n".join(lines)


def types_of(slot: str) -> dict[str, Any]:
    """Return what goes in and comes out of the hooks of a slot: the public names of its contract but for the hooks."""
    from spindle.plugins import spec_of

    spec = spec_of(slot)
    module = sys.modules[spec.__module__] if spec else None
    names = [n for n in getattr(module, "__all__", []) if not n.endswith("Spec")]
    return {n: getattr(module, n) for n in names if callable(getattr(module, n))}


def docstring(thing: Any) -> str:
    """Return the docstring of a function or class, without one inherited from its bases."""
    own = vars(thing) if isinstance(thing, type) else {"__doc__": thing.__doc__}
    return inspect.cleandoc(own.get("__doc__") or "")


def program_help(name: str, params: Params, level: int) -> str:
    """Return the help page of a program."""
    from spindle.plugins import registry

    program = registry().load("program", name)
    short = short_name_help(params)
    letters = "h" * (level + 2)
    deeper = any(entry.level > level for entry in walk(params, templates=True))
    more = f"\nMore parameters: spindle {name} -{letters}" if deeper else ""
    return (
        f"usage: spindle {name} [files ...] [name=value ...]\n\n{docstring(program)}\n\n"
        f"{short}parameters (any unique ending of a dotted name will do):\n{parameter_help(params, level)}{more}"
    )


def short_name_help(params: Params) -> str:
    """Return the short names of a program and the parameters that they set."""
    lines = []
    for name, short in short_names_of(type(params)).items():
        lines += [f"  {name}", *_wrapped(f"{short.help} Sets {', '.join(short.paths)}.")]
    return "short names:\n" + "\n".join(lines) + "\n\n" if lines else ""


def parameter_help(params: Params, level: int, prefix: str = "") -> str:
    """Return the leaves up to ``level``, each scope once, where its first leaf stands."""
    groups: dict[str, list[Entry]] = {}
    for entry in walk(params, prefix, templates=True):
        if entry.level <= level:
            groups.setdefault(entry.path.rpartition(".")[0], []).append(entry)
    lines: list[str] = []
    for scope, entries in groups.items():
        about = _first_line(type(entries[0].owner)) if scope else ""
        lines.append(f"\n  [{scope}]  {about}".rstrip() if scope else "")
        for entry in entries:
            lines.append(f"  {entry.path.rpartition('.')[2]} = {entry.text}")
            lines += _describe(entry, level)
    return "\n".join(lines)


def _describe(entry: Entry, level: int) -> list[str]:
    facts = [entry.leaf.describe()]
    if entry.leaf.units:
        facts.append(entry.leaf.units)
    if entry.leaf.multiple:
        facts.append("may be repeated")
    if entry.unavailable:
        facts.append(f"only the default; not available: {entry.unavailable}")
    if level >= LEVEL_UNAVAILABLE:
        facts += [f"{value} is not available: {why}" for value, why in entry.leaf.unavailable_values.items()]
    text = f"{entry.leaf.help} ({'; '.join(facts)})".strip()
    return _wrapped(text)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=" " * 8, subsequent_indent=" " * 8, break_on_hyphens=False)


def _first_line(scope: type) -> str:
    doc = scope.__dict__.get("__doc__") or ""
    return doc.strip().split("\n")[0]


def effective_text(params: Params, level: int | None = None) -> str:
    """Return the effective tree, up to ``level`` if given, as PHIL text that can be read again."""
    shown = {(id(e.owner), e.name) for e in walk(params) if level is None or e.level <= level}
    return "\n".join(_lines(params, 0, shown))


def _lines(params: Params, depth: int, leaves: set[tuple[int, str]]) -> list[str]:
    pad = "  " * depth
    lines = []
    shown = set()
    for name, field in fields_of(type(params)).items():
        shown.add(name)
        if name in params._scopes:
            lines += _scope_lines(params, name, depth, leaves)
        elif not isinstance(field, type) and (id(params), name) in leaves:
            lines += [f"{pad}{e.path} = {value}" for e in [_entry(params, name)] for value in _values(e)]
    for name in params._scopes:
        if name not in shown:
            lines += _scope_lines(params, name, depth, leaves)
    return lines


def _entry(params: Params, name: str) -> Entry:
    return Entry(name.removesuffix("_"), params, name, fields_of(type(params))[name], 0)


def _values(entry: Entry) -> list[str]:
    if entry.leaf.multiple and entry.value:
        return [entry.leaf.render_one(v) for v in entry.value]
    return [entry.text]


def _scope_lines(params: Params, name: str, depth: int, leaves: set[tuple[int, str]]) -> list[str]:
    pad = "  " * depth
    current = params.__dict__[name]
    lines = []
    for scope in current if isinstance(current, tuple) else [current]:
        inner = _lines(scope, depth + 1, leaves)
        if inner:
            lines += [f"{pad}{name.removesuffix('_')} {{", *inner, f"{pad}}}"]
    return lines
