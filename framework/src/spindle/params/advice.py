"""What to say of a key that is no parameter of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from spindle.errors import PluginError

from .keys import matches
from .short_names import short_names_of
from .structured import Plugin
from .tree import Entry, Params, walk


def of_unselected(key: str, entries: Mapping[str, Entry]) -> str:
    """Which installed algorithm, that is not chosen, has a parameter called ``key``; empty when none has."""
    from spindle.plugins import registry

    words = key.split(".")
    for path, entry in entries.items():
        if not isinstance(entry.leaf, Plugin) or entry.leaf.elsewhere:
            continue
        for name in entry.leaf.choices():
            if name in entry.leaf.chosen(entry.value):
                continue
            try:
                plugin: Any = registry().load(entry.leaf.slot, name)
            except PluginError:
                if name not in words:
                    continue
                raise
            scope = getattr(plugin, "scope", None) or name
            tree = (getattr(plugin, "Params", None) or Params)()
            prefix = path.rpartition(".")[0]
            inner = [f"{prefix}.{scope}.{e.path}".lstrip(".") for e in walk(tree, templates=True)]
            if matches(key, dict.fromkeys(inner)) or scope in words[:-1]:
                return f"belongs to the {entry.leaf.slot} {name!r}, but {path}={entry.text} is selected; add {path}={name} to use it"
    return ""


def programs_with(key: str, own: type[Params], loader: Callable[[str, str, str], type]) -> list[str]:
    """Programs, the one with the parameters ``own`` left out, that have a short name or one parameter called ``key``."""
    from spindle.plugins import registry

    found = []
    for name in registry().names("program"):
        try:
            plugin: Any = loader("program", name, "")
            cls = plugin.Params or Params
            paths = {e.path: e for e in walk(cls(), templates=True)}
        except PluginError:
            continue
        if own is not cls and (key in short_names_of(cls) or len(matches(key, paths)) == 1):
            found.append(name)
    return found
