"""Which parameter a key means: itself, a dotted ending, the choice of a scope; and what may have been meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from .structured import Plugin
from .tree import Entry

__all__ = ["OF_THE_RUN", "OLD_NAMES", "choices", "matches", "suggestions"]

#: Names that mean a parameter which every program has, also where parts of it have such a one of their own.
OF_THE_RUN = {"nproc": "mp.nproc"}

#: Names that tutorials of other programs give, and what to write instead.
OLD_NAMES = {
    "intensity.algorithm": "both sums and profile fits are made; profile.fitting=False of spindle integrate makes only sums",
    "block_size": "the images are integrated one after the other as they are read, whatever their number; leave it out",
}


def matches(key: str, entries: Iterable[str]) -> list[str]:
    """Return the paths that ``key`` names: itself, else those it is a dotted suffix of, else plugin choices of a
    scope, else those that have its parts in this order, the last one last: ``index.space_group``."""
    paths = list(entries)
    if key in paths:
        return [key]
    found = [p for p in paths if p.endswith("." + key)]
    if isinstance(entries, dict) and "." not in key:
        found = [p for p in found if entries[p] is None or not entries[p].leaf.qualified]
    if not found and isinstance(entries, dict):
        found = choices(key, entries)
    if not found and "." in key:
        parts = key.split(".")
        found = [p for p in paths if p.endswith("." + parts[-1]) and _in_order(parts, p.split("."))]
    return found


def _in_order(parts: list[str], of: list[str]) -> bool:
    """Whether all parts stand in a list, in their order."""
    rest = iter(of)
    return all(part in rest for part in parts)


def choices(key: str, entries: dict[str, Entry]) -> list[str]:
    """Return the paths of the plugin choices within scopes that ``key`` names."""
    return [
        p
        for p, e in entries.items()
        if e is not None and isinstance(e.leaf, Plugin) and ("." + p.rpartition(".")[0]).endswith("." + key)
    ]


def suggestions(key: str, paths: list[str]) -> list[str]:
    """Return up to three paths that look like ``key``."""
    size = key.count(".") + 1
    endings: dict[str, str] = {}
    for path in paths:
        endings.setdefault(".".join(path.split(".")[-size:]), path)
        endings.setdefault(path, path)
    close = difflib.get_close_matches(key, list(endings), 3, 0.6)
    last = key.rpartition(".")[2]
    close += [e for e in endings if e.rpartition(".")[2] == last][: 3 - len(close)]
    return list(dict.fromkeys(endings[c] for c in close))
