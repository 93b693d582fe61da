"""Write docs/reference from the code: programs, plugins and slots with their parameters and hooks.

``python tools/reference.py`` writes the pages; run it after a change of parameters or contracts.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

from spindle.cli.help import docstring
from spindle.cli.main import in_order_of_use
from spindle.contracts import SLOTS
from spindle.params import HostParams, Params, walk
from spindle.params.resolve import build
from spindle.params.short_names import short_names_of
from spindle.plugins import PluginInfo, registry, spec_of
from spindle.plugins.loading import hooks_of

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "reference"
NOTE = "<!-- written by tools/reference.py -->\n\n"


def parameter_table(params: Params, prefix: str = "", without: tuple[str, ...] = ()) -> str:
    """Return a Markdown table of all leaves; scopes that begin with ``without`` are left out."""
    rows = ["| parameter | default | type | level | meaning |", "|---|---|---|---|---|"]
    for entry in walk(params, prefix, templates=True):
        if entry.path.startswith(without):
            continue
        units = f", {entry.leaf.units}" if entry.leaf.units else ""
        again = ", may be repeated" if entry.leaf.multiple else ""
        cells = [f"`{entry.path}`", f"`{entry.leaf.render(entry.default)}`", entry.leaf.describe() + units + again]
        cells += [str(entry.level), entry.leaf.help or ""]
        rows.append("| " + " | ".join(c.replace("|", "\\|").replace("\n", " ") for c in cells) + " |")
    return "\n".join(rows) if len(rows) > 2 else "No parameters."


def scopes_of_others(params: Params) -> tuple[str, ...]:
    """Return the prefixes of scopes that belong to other plugins and are described with them."""
    from spindle.params.tree import scopes_of

    return tuple(f"{path}." for path, scope in scopes_of(params) if scope.__dict__.get("_plugin", ("", ""))[0])


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
    for name in in_order_of_use(list(infos)):
        info = infos[name]
        plugin = registry().load("program", name)
        params = params_of(info)
        parts.append(f"## {name}\n\n{docstring(plugin)}")
        for word, short in short_names_of(type(params)).items():
            parts.append(f"Short name `{word}`: {short.help} Sets {', '.join(f'`{p}`' for p in short.paths)}.")
        parts.append(parameter_table(params, without=scopes_of_others(params)))
        others = sorted({s.__dict__["_plugin"] for s in _attached(params)})
        if others:
            links = ", ".join(f"{slot} `{other}`" for slot, other in others)
            parts.append(f"With its default choices it also has the parameters of {links}.")
    return "\n\n".join(parts) + "\n"


def _attached(params: Params) -> list[Params]:
    from spindle.params.tree import scopes_of

    return [s for _, s in scopes_of(params) if s.__dict__.get("_plugin", ("", ""))[0]]


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
    """Return the page of all slots: what a plugin has to implement."""
    parts = [
        f"# Slots\n\n{NOTE}What a plugin of each slot has to implement; [how to write one](../plugin-guide/README.md)."
    ]
    for slot in sorted(set(SLOTS) & {*registry().slots, "observer"}):
        spec = spec_of(slot)
        if spec is None:
            continue
        parts.append(f"## {slot}\n\n{docstring(spec)}")
        optional = set(getattr(spec, "optional", ()))
        for name, function in hooks_of(spec).items():
            arguments = ", ".join(p for p in inspect.signature(function).parameters if p != "self")
            kind = " (optional)" if name in optional else ""
            text = inspect.cleandoc(function.__doc__ or "")
            parts.append(f"### {name}({arguments}){kind}\n\n```text\n{text}\n```")
    return "\n\n".join(parts) + "\n"


def main() -> int:
    """Write the pages."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    first_party = ROOT.as_posix()
    pages = {"programs.md": programs_page(), "plugins.md": plugins_page(), "slots.md": slots_page()}
    for name, text in pages.items():
        (FOLDER / name).write_text(text.replace(first_party, "."), encoding="utf-8")
        print(f"wrote {FOLDER.relative_to(ROOT) / name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
