"""The names that a shell completes: programs, their parameters with choices, slots and plugins."""

from __future__ import annotations

from typing import Any

from spindle.contracts import SLOTS
from spindle.errors import PluginError
from spindle.execution.compile_cache import prepare_compile_cache
from spindle.execution.runner import effective_params, make_host
from spindle.params import Bool, Entry, Plugin, walk
from spindle.params.short_names import short_names_of
from spindle.plugins import registry
from spindle.plugins.host import PluginHost


def collect() -> dict[str, Any]:
    """Return the names of everything installed.

    Returns
    -------
    dict
        ``programs`` (name to summary), ``plugins`` (``slot.name``), ``slots``, and ``parameters``: for each program pairs of a dotted
        name and the values to choose from. Algorithms that are not chosen by default are there with their parameters too.
    """
    prepare_compile_cache()
    host = make_host()
    infos = registry().infos
    parameters = {}
    for name in registry().names("program"):
        try:
            params = effective_params(name, [], host)
            entries = list(walk(params, templates=True))
        except PluginError:  # a broken program has no parameters
            continue
        found = {e.path: _choices(e) for e in entries if not e.unavailable}
        for entry in entries:
            if isinstance(entry.leaf, Plugin):
                found |= {path: values for path, values in _of_rivals(entry, host) if path not in found}
        for short, meaning in short_names_of(type(params)).items():
            found.setdefault(
                short, list(meaning.values) or next((found[path] for path in meaning.paths if path in found), [])
            )
        parameters[name] = [[path, values] for path, values in found.items()]
    return {
        "programs": {i.name: i.summary for i in infos if i.slot == "program"},
        "plugins": sorted({f"{i.slot}.{i.name}" for i in infos if i.slot != "program"}),
        "slots": sorted({*SLOTS, *registry().slots}),
        "parameters": parameters,
    }


def _choices(entry: Entry) -> list[str]:
    """The values of a parameter that can be named."""
    if isinstance(entry.leaf, Bool):
        return ["True", "False"]
    choices = getattr(entry.leaf, "choices", None)
    return [c for c in choices() if c not in entry.leaf.unavailable_values] if callable(choices) else []


def _of_rivals(entry: Entry, host: PluginHost) -> list[tuple[str, list[str]]]:
    """Parameters of the algorithms that may be chosen instead of the one that is."""
    slot = entry.leaf.slot  # type: ignore[attr-defined]
    scope = entry.path.rpartition(".")[0]
    found = []
    for name in _choices(entry):
        try:
            plugin: Any = host.load(slot, name)
        except PluginError:
            continue
        if getattr(plugin, "Params", None) is not None:
            prefix = f"{scope}.{plugin.scope or name}." if scope else f"{plugin.scope or name}."
            found += [(e.path, _choices(e)) for e in walk(plugin.Params(), prefix, templates=True)]
    return found
