"""``spindle help WORD``: what speaks of a word, in names and help texts of programs, plugins and parameters."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Any

from spindle.contracts import SLOTS
from spindle.errors import PluginError, UserError
from spindle.execution.compile_cache import prepare_compile_cache
from spindle.execution.runner import effective_params, make_host
from spindle.params import Entry, walk
from spindle.plugins import registry
from spindle.plugins.host import PluginHost

MOST = 20
"""Things of a kind that are listed."""

INSIDE = 4
"""Rank of what has the word in the middle of another."""


def search_text(word: str) -> str:
    """Return what speaks of a word, the nearest first.

    Raises
    ------
    UserError
        If nothing does.
    """
    prepare_compile_cache()
    host = make_host()
    kinds = {"programs": _programs(word), "plugins": _plugins(word), "parameters": _parameters(word, host)}
    if any(rank < INSIDE for found in kinds.values() for rank, _, _ in found):
        kinds = {title: [item for item in found if item[0] < INSIDE] for title, found in kinds.items()}
    found = "\n\n".join(part for title, items in kinds.items() if (part := _listed(title, items)))
    if found:
        return found + "\n\nNext: spindle help <program or plugin>"
    plugins = registry()
    known = {i.name for i in plugins.infos} | {f"{i.slot}.{i.name}" for i in plugins.infos} | {*plugins.slots, *SLOTS}
    close = get_close_matches(word, sorted(known), 3)
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    raise UserError(
        f"there is no program, plugin or slot {word!r}, and no help text speaks of it.{hint} Next: `spindle plugins` lists everything"
    )


def _rank(word: str, name: str, text: str) -> int | None:
    """How near a name and its text are to a word; None where it is in neither.

    0 is the name itself, then a word of the name, a word of the text, the beginning of a word, and `INSIDE` the middle of one: ice
    in lattice, which is shown where there is nothing else.
    """
    plain, name, text = word.replace("-", "_").lower(), name.lower(), text.lower()
    if plain == name.rpartition(".")[2]:
        return 0
    beginning = rf"(?<![a-z0-9]){re.escape(plain)}"
    if re.search(rf"{beginning}(?![a-z0-9])", name):
        return 1
    if re.search(rf"\b{re.escape(word.lower())}\b", text):
        return 2
    if re.search(beginning, name) or re.search(beginning, text):
        return 3
    return INSIDE if plain in name or word.lower() in text or plain in text else None


def _programs(word: str) -> list[tuple[int, str, str]]:
    found = []
    for info in registry().infos:
        if info.slot == "program":
            rank = _rank(word, info.name, info.summary + _doc(info))
            if rank is not None:
                found.append((rank, info.name, info.summary))
    return found


def _doc(info: Any) -> str:
    try:
        return getattr(registry().load(info.slot, info.name), "__doc__", "") or ""
    except PluginError:  # a broken plugin is found by its summary
        return ""


def _plugins(word: str) -> list[tuple[int, str, str]]:
    found = []
    for info in registry().infos:
        if info.slot != "program":
            rank = _rank(word, f"{info.slot}.{info.name}", info.summary)
            if rank is not None:
                found.append((rank, f"{info.slot}.{info.name}", info.summary))
    return found


def _parameters(word: str, host: PluginHost) -> list[tuple[int, str, str]]:
    """Each parameter once, under the program whose own it is rather than one that runs it."""
    best: dict[tuple[str, str], tuple[int, int, str, str]] = {}
    for program in registry().names("program"):
        try:
            entries = list(walk(effective_params(program, [], host), templates=True))
        except PluginError:
            continue
        for entry in entries:
            rank = _rank(word, entry.path, entry.leaf.help)
            if rank is None or entry.unavailable:
                continue
            item = (rank, entry.path.count("."), f"{program}: {entry.path}", _first_sentence(entry))
            key = (entry.name, entry.leaf.help)
            best[key] = min(best.get(key, item), item)
    return [(rank, name, text) for rank, _, name, text in best.values()]


def _first_sentence(entry: Entry) -> str:
    return re.split(r"(?<=[.;])\s", entry.leaf.help, maxsplit=1)[0].rstrip(";")


def _listed(title: str, found: list[tuple[int, str, str]]) -> str:
    if not found:
        return ""
    found.sort()
    shown = found[:MOST]
    width = min(max(len(name) for _, name, _ in shown), 60)
    lines = [f"{title}:", *(f"  {name:<{width}}  {text}" for _, name, text in shown)]
    if len(found) > MOST:
        lines.append(f"  ... and {len(found) - MOST} more; a longer word finds fewer")
    return "\n".join(lines)
