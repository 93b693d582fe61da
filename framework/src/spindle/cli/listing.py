"""``spindle plugins``."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from spindle.errors import PluginError, UserError
from spindle.plugins.discovery import PluginInfo
from spindle.plugins.loading import title
from spindle.plugins.names import is_first_party
from spindle.plugins.registry import Registry, is_strict, registry

COLUMNS = ("slot", "name", "distribution", "version", "state")


def plugins_command(arguments: list[str]) -> int:
    """List the installed plugins, or check some of them; return the exit code."""
    as_json = "--json" in arguments
    check = "--check" in arguments
    names = [a for a in arguments if not a.startswith("-")]
    unknown = [a for a in arguments if a.startswith("-") and a not in ("--json", "--check", "-h", "--help")]
    if unknown:
        raise UserError(f"spindle plugins: unknown option {unknown[0]}; it takes --json and --check [NAME ...]")
    if "-h" in arguments or "--help" in arguments:
        print("usage: spindle plugins [SLOT or NAME ...] [--json]\n       spindle plugins --check [NAME ...]")
        return 0
    plugins = registry()
    if check:
        return check_command(plugins, names, as_json)
    rows = plugins.rows()
    if names:
        rows = [r for r in rows if r["slot"] in names or r["name"] in names or f"{r['slot']}.{r['name']}" in names]
        if not rows:
            raise UserError(
                f"no plugin or slot is called {' or '.join(names)}. Next: `spindle plugins` lists everything"
            )
    print_rows(rows, as_json)
    # Listing imports nothing, whatever happens; what can be told without an import counts when failures are fatal.
    return 2 if is_strict() and any(row["state"] != "ok" for row in rows) else 0


def print_rows(rows: list[dict[str, str]], as_json: bool) -> None:
    """Print plugins as JSON or as aligned columns."""
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    widths = {c: max([len(c), *(len(r[c]) for r in rows)]) for c in COLUMNS}
    print("  ".join(c.ljust(widths[c]) for c in COLUMNS).rstrip())
    for row in rows:
        print("  ".join(row[c].ljust(widths[c]) for c in COLUMNS).rstrip())


def check_command(plugins: Registry, names: list[str], as_json: bool) -> int:
    """Import and check plugins by name (``glm`` or ``background.glm``), all of them without a name."""
    from spindle.execution.compile_cache import prepare_compile_cache

    infos = [i for name in names for i in _named(plugins, name)] if names else plugins.infos
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    prepare_compile_cache()
    # calling compiles kernels: our own plugins are only called when they are asked for
    results = [(info, *_diagnosed(plugins, info, bool(names) or not is_first_party(info))) for info in infos]
    if as_json:
        print_rows(
            [
                {"slot": i.slot, "name": i.name, "distribution": i.distribution, "version": i.version, "state": state}
                for i, state, _ in results
            ],
            True,
        )
    for _, state, message in results:
        if state != "ok":
            print(f"{state}: {message}", file=sys.stderr)
        elif not as_json:
            print(f"ok: {message}")
    return 0 if all(state == "ok" for _, state, _ in results) else 2


def _diagnosed(plugins: Registry, info: PluginInfo, call: bool) -> tuple[str, str]:
    state, message = plugins.diagnose(info, call=call)
    if state == "ok" and not is_first_party(info) and (reason := hidden_parameter(plugins, info)):
        return "misnamed", f"{title(info)}: {reason}. Next: its author has to give it another name, or another scope"
    return state, message


def hidden_parameter(plugins: Registry, info: PluginInfo) -> str:
    """Why a program cannot show the parameters of a plugin: the scope that holds them has the name of one of its own; else empty."""
    from spindle.params import HostParams, Params

    scope = getattr(plugins.load(info.slot, info.name), "scope", None) or info.name
    for program in plugins.names("program"):
        try:
            program_class: Any = plugins.load("program", program)
        except PluginError:
            continue  # its own fault, told of when it is looked at
        for root in (program_class.Params or Params, HostParams):
            if place := _beside(root, "", info.slot, scope):
                return f"its parameters would be {place}.{scope} in {program}, where {scope} is a parameter already"
    return ""


def _beside(cls: Any, path: str, slot: str, scope: str) -> str:
    """Path of the class of parameters that chooses from a slot and has something called ``scope``."""
    from spindle.params import Leaf, Plugin
    from spindle.params.tree import fields_of

    fields = fields_of(cls)
    if any(isinstance(f, Plugin) and f.slot == slot for f in fields.values()) and isinstance(
        fields.get(scope), Leaf | type
    ):
        return path or "at the top"
    inner = ((n, f) for n, f in fields.items() if isinstance(f, type))
    return next((found for n, f in inner if (found := _beside(f, f"{path}.{n}".strip("."), slot, scope))), "")


def _named(plugins: Registry, name: str) -> list:  # type: ignore[type-arg]
    found = plugins.named(name)
    if not found:
        from difflib import get_close_matches

        close = get_close_matches(name.rpartition(".")[2], sorted({i.name for i in plugins.infos}), 3)
        hint = f" Did you mean {' or '.join(close)}?" if close else ""
        raise UserError(f"no plugin is called {name!r}.{hint} Next: `spindle plugins` lists everything")
    return found
