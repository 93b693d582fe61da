"""Write docs/reference from the code: programs, plugins, slots, models, tables, geometry, and where parameters are defined.

``python tools/reference.py`` writes the pages; run it after a change of parameters, contracts or models. ``--check`` only
tells which pages are not what the code says; the tests run the check.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from pathlib import Path
from typing import Any

import numpy as np
from described import describe, documentation, public_names, table
from rooms import in_order_of_use

from spindle.cli.help import docstring, types_of
from spindle.contracts import CONTRACTS, SLOTS
from spindle.params import HostParams, Params, plugin_of, scopes_of, walk
from spindle.params.resolve import build
from spindle.params.short_names import short_names_of
from spindle.plugins import PluginInfo, registry, spec_of
from spindle.plugins.loading import hooks_of

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "reference"
NOTE = "<!-- written by tools/reference.py -->\n\n"
SKIPPED = {"hookimpl", "hookspec", "PROJECT_NAME", "SLOTS"}  # told of in the guide
HOST_MODULES = [
    *("spindle", "spindle.contracts", "spindle.params", "spindle.files", "spindle.images", "spindle.execution"),
    *("spindle.plugins", "spindle.report", "spindle.testing"),
]


def parameter_table(params: Params, prefix: str = "", without: tuple[str, ...] = ()) -> str:
    """Return a Markdown table of the leaves that are heeded; scopes that begin with ``without`` are left out."""
    rows = []
    for entry in walk(params, prefix, templates=True):
        if entry.path.startswith(without) or entry.unavailable:
            continue
        units = f", {entry.leaf.units}" if entry.leaf.units else ""
        again = ", may be repeated" if entry.leaf.multiple else ""
        cells = [f"`{entry.path}`", f"`{entry.leaf.render(entry.default)}`", entry.leaf.describe() + units + again]
        rows.append([*cells, str(entry.level), entry.leaf.help or ""])
    return table(["parameter", "default", "type", "level", "meaning"], rows) if rows else "No parameters."


def scopes_of_others(params: Params) -> tuple[str, ...]:
    """Return the prefixes of scopes that belong to other plugins and are described with them."""
    return tuple(f"{path}." for path, scope in scopes_of(params) if plugin_of(scope))


def params_of(info: PluginInfo) -> Params:
    """Return the default parameters of a plugin."""
    plugin: Any = registry().load(info.slot, info.name)
    return build(plugin.Params or Params, host=HostParams if info.slot == "program" else None)


def programs_page() -> str:
    """Return the page of all programs."""
    infos = {i.name: i for i in registry().infos if i.slot == "program"}
    parts = [
        f"# Programs\n\n{NOTE}`spindle <program> [files] [name=value]`; any unique ending of a dotted name will do."
    ]
    for name in in_order_of_use(infos):
        info = infos[name]
        plugin = registry().load("program", name)
        params = params_of(info)
        parts.append(f"## {name}\n\n{docstring(plugin)}")
        for word, short in short_names_of(type(params)).items():
            parts.append(f"Short name `{word}`: {short.help} Sets {', '.join(f'`{p}`' for p in short.paths)}.")
        parts.append(parameter_table(params, without=scopes_of_others(params)))
        others = sorted({plugin for s in _attached(params) if (plugin := plugin_of(s))})
        if others:
            links = ", ".join(f"{slot} `{other}`" for slot, other in others)
            parts.append(f"With its default choices it also has the parameters of {links}.")
    return "\n\n".join(parts) + "\n"


def _attached(params: Params) -> list[Params]:
    return [s for _, s in scopes_of(params) if plugin_of(s)]


def plugins_page() -> str:
    """Return the page of all algorithms, formats and other plugins that are not programs."""
    parts = [f"# Plugins\n\n{NOTE}Algorithms, formats, exporters and executors by slot."]
    for slot in registry().slots:
        if slot == "program":
            continue
        parts.append(f"## {slot}")
        for info in sorted((i for i in registry().infos if i.slot == slot), key=lambda i: i.name.lower()):
            plugin: Any = registry().load(slot, info.name)
            scope = getattr(plugin, "scope", None) or info.name
            params = params_of(info)
            parts.append(f"### {slot} {info.name}\n\n`{info.distribution}`. {docstring(plugin)}")
            parts.append(parameter_table(params, f"{scope}."))
    return "\n\n".join(parts) + "\n"


def slots_page() -> str:
    """Return the page of all slots: what a plugin has to implement, with what goes in and comes out."""
    parts = [
        f"# Slots\n\n{NOTE}What a plugin of each slot has to implement; [how to write one](../plugin-guide/README.md)."
        " `import` names the module in which the types of a slot are."
    ]
    told: set[str] = set()
    for slot in sorted(SLOTS):
        spec = spec_of(slot)
        if spec is None:
            continue
        module = importlib.import_module(SLOTS[slot].partition(":")[0])
        about = f"`import {module.__name__}`, contract {CONTRACTS[slot]}\n\n{documentation(module)}"
        parts.append(f"## {slot}\n\n{docstring(spec)}\n\n{about}")
        optional = set(getattr(spec, "optional", ()))
        for name, function in hooks_of(spec).items():
            arguments = ", ".join(p for p in inspect.signature(function).parameters if p != "self")
            kind = " (optional)" if name in optional else ""
            text = inspect.cleandoc(function.__doc__ or "")
            parts.append(f"### {name}({arguments}){kind}\n\n```text\n{text}\n```")
        for name, thing in types_of(slot).items():
            if name not in told:
                told.add(name)
                parts.append(described(name, thing))
    return "\n\n".join(parts) + "\n"


def described(name: str, thing: Any) -> str:
    """Return the Markdown of a thing; that of a parameter tree is the table of its leaves."""
    if isinstance(thing, type) and issubclass(thing, Params) and thing is not Params:
        return f"### {name}\n\n{documentation(thing)}\n\n{parameter_table(build(thing))}"
    return describe(name, thing)


def modules_page(title: str, about: str, modules: list[str]) -> str:
    """Return a page of everything that modules offer."""
    parts = [f"# {title}\n\n{NOTE}{about}"]
    for path in modules:
        module = importlib.import_module(path)
        parts.append(f"## {path}\n\n{documentation(module)}")
        parts += [described(name, getattr(module, name)) for name in public_names(module) if name not in SKIPPED]
    return "\n\n".join(parts) + "\n"


def table_page() -> str:
    """Return the page of reflection tables: standard columns, flags, masks and classes."""
    from spindle.table import SCHEMA

    rows = [
        [
            f"`{name}`",
            f"({', '.join(['n', *map(str, c.shape)])}{'' if c.shape else ','}) {np.dtype(c.dtype)}",
            c.unit,
            c.meaning,
        ]
        for name, c in SCHEMA.items()
    ]
    parts = [
        f"# Reflection tables\n\n{NOTE}Columns with a fixed meaning; a table may hold any others, numeric, with n rows."
    ]
    parts.append(table(["column", "shape, type", "unit", "meaning"], rows))
    module = importlib.import_module("spindle.table")
    parts += [described(name, getattr(module, name)) for name in public_names(module) if name != "SCHEMA"]
    return "\n\n".join(parts) + "\n"


def definitions(params: Params, prefix: str = "", without: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the file in which each parameter is written."""
    found = {}
    for entry in walk(params, prefix, templates=True):
        if not entry.path.startswith(without):
            owner = next(c for c in type(entry.owner).__mro__ if entry.name in vars(c))
            found[entry.path] = Path(sys.modules[owner.__module__].__file__ or "").relative_to(ROOT).as_posix()
    return found


def parameters_page() -> str:
    """Return the index of all parameters: where each is defined, and which programs and plugins have it."""
    users: dict[tuple[str, str], list[str]] = {}
    programs = in_order_of_use([i.name for i in registry().infos if i.slot == "program"])
    for info in registry().infos:
        params = params_of(info)
        scope = getattr(registry().load(info.slot, info.name), "scope", None) or info.name
        user, prefix = (info.name, "") if info.slot == "program" else (f"{info.slot} {info.name}", f"{scope}.")
        for path, file in definitions(params, prefix, scopes_of_others(params)).items():
            users.setdefault((path, file), []).append(user)
    rows = []
    for (path, file), names in sorted(users.items()):
        who = "every program" if set(names) == set(programs) else ", ".join(sorted(names, key=str.lower))
        rows.append([f"`{path}`", f"[{file.split('/src/')[-1]}](../../{file})", who])
    about = "Which file defines a parameter, and whose it is; meanings are in [programs](programs.md) and [plugins](plugins.md)."
    return f"# Index of parameters\n\n{NOTE}{about}\n\n" + table(["parameter", "defined in", "of"], rows) + "\n"


def unavailable_page() -> str:
    """Return the page of what parameter files may hold at its default only, and why."""
    rows = []
    for info in sorted(registry().infos, key=lambda i: (i.slot != "program", i.slot, i.name.lower())):
        params = params_of(info)
        scope = getattr(registry().load(info.slot, info.name), "scope", None) or info.name
        others = scopes_of_others(params)
        for entry in walk(params, "" if info.slot == "program" else f"{scope}.", templates=True):
            if entry.path.startswith(others):
                continue
            refused = {f"`{value}`": why for value, why in entry.leaf.unavailable_values.items()}
            if entry.unavailable:
                refused = {f"all but `{entry.leaf.render(entry.default)}`": entry.unavailable}
            rows += [[f"{info.slot} `{info.name}`", f"`{entry.path}`", v, why] for v, why in refused.items()]
    about = (
        "Names of the field's usual set that parameter files may hold; the values listed here are errors that say why."
    )
    return (
        f"# Parameters that are not available\n\n{NOTE}{about}\n\n"
        + table(["plugin", "parameter", "refused", "why"], rows)
        + "\n"
    )


def library_modules() -> list[str]:
    """Return the libraries and their modules, each library before what is in it."""
    found = []
    for source in sorted(ROOT.glob("libraries/*/src/*")):
        found.append(source.name)
        found += [f"{source.name}.{f.stem}" for f in sorted(source.glob("*.py")) if not f.stem.startswith("_")]
    return found


LIBRARIES = "Science that several plugins share, each a distribution of its own that any plugin may require."
GEOMETRY = (
    "Thin typed functions and kernels on arrays; angles in radians and lengths in mm and angstrom unless they say so."
)
HOST = "What programs and plugins use of the host beside models, tables and geometry."


def pages() -> dict[str, str]:
    """Return the texts that the pages should have."""
    texts = {
        "programs.md": programs_page(),
        "plugins.md": plugins_page(),
        "slots.md": slots_page(),
        "parameters.md": parameters_page(),
        "unavailable.md": unavailable_page(),
        "models.md": modules_page("Models", "The frozen values that describe an experiment.", ["spindle.models"]),
        "tables.md": table_page(),
        "geometry.md": modules_page(
            "Geometry, prediction and symmetry",
            GEOMETRY,
            ["spindle.geometry", "spindle.prediction", "spindle.symmetry"],
        ),
        "libraries.md": modules_page("Libraries", LIBRARIES, library_modules()),
        "host.md": modules_page("The host", HOST, HOST_MODULES),
    }
    return {name: text.replace(ROOT.as_posix(), ".") for name, text in texts.items()}


def main() -> int:
    """Write or check the pages; return the exit code."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    wanted = pages()
    stale = [n for n, text in wanted.items() if not (FOLDER / n).exists() or (FOLDER / n).read_text("utf-8") != text]
    stale += sorted(p.name for p in FOLDER.glob("*.md") if p.name not in wanted and NOTE in p.read_text("utf-8"))
    if "--check" in sys.argv[1:]:
        print(
            "\n".join(f"docs/reference/{n} is not in step; run python tools/reference.py" for n in stale) or "in step"
        )
        return 1 if stale else 0
    for name in stale:
        if name not in wanted:
            (FOLDER / name).unlink()
        else:
            (FOLDER / name).write_text(wanted[name], encoding="utf-8")
        print(f"wrote docs/reference/{name}" if name in wanted else f"removed docs/reference/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
