"""Names of plugins: the rule for new ones, and those that this project provides.

``known.json`` beside this file lists the first-party plugins with their distributions; ``tools/workspace.py`` writes it. Advice to install
something names only what is in it: any other name could be registered by anybody.
"""

from __future__ import annotations

import difflib
import json
import re
from functools import cache
from pathlib import Path

from .discovery import PluginInfo

RULE = re.compile(r"[a-z][a-z0-9_]*")
COMMANDS = ("help", "new_plugin", "plugins", "replay")
VALUES = ("none", "auto", "true", "false")


@cache
def known() -> dict[str, dict[str, str]]:
    """Slot -> name -> distribution of the plugins of this project."""
    found: dict[str, dict[str, str]] = json.loads((Path(__file__).parent / "known.json").read_text(encoding="utf-8"))
    return found


def is_first_party(info: PluginInfo) -> bool:
    """Whether a plugin is one of this project's own."""
    return known().get(info.slot, {}).get(info.name) == info.distribution


def bears_name(info: PluginInfo) -> bool:
    """Whether the distribution of a plugin is called after it, ``spindle-<slot>-<name>``.

    An index has one distribution of a name, so that of several plugins of one name and slot at most one bears it.
    """
    return (
        re.sub(r"[-_.]+", "-", info.distribution).lower()
        == f"spindle-{info.slot}-{info.name}".replace("_", "-").lower()
    )


def fault_of_name(info: PluginInfo) -> str:
    """Why the name of a plugin cannot be used; empty when it can."""
    if is_first_party(info):
        return ""
    if not RULE.fullmatch(info.name):
        better = re.sub(r"[^a-z0-9_]+", "_", info.name.lower()).strip("_")
        example = f", such as {better}" if RULE.fullmatch(better) else ""
        return f"names are lower-case letters, digits and _, a letter first{example}"
    if info.slot == "program" and info.name in COMMANDS:
        return f"`spindle {info.name}` is a command of the host, which comes first"
    if info.name in VALUES:
        return f"{info.name} is a value of parameters"
    return ""


def fault_of_slot(slot: str) -> str:
    """What a slot that this host does not know was probably meant to be; empty for slots that are nobody's misspelling."""
    from spindle.contracts import SLOTS

    if slot in SLOTS:
        return ""
    close = difflib.get_close_matches(slot, SLOTS, 1, 0.75)
    return f"there is no slot {slot!r} (entry point group spindle.{slot}), did you mean {close[0]}?" if close else ""


def where_to_get(slot: str, name: str) -> str:
    """``; `pip install spindle-background-glm` brings it`` for a plugin of this project; nothing is said of other names."""
    names = known().get(slot, {})
    if name in names:
        return f"`pip install {names[name]}` brings it"
    return ""


def close_known(slot: str, name: str, installed: tuple[str, ...]) -> list[str]:
    """Names of this project's plugins, not installed, that look like ``name``."""
    return difflib.get_close_matches(name, [n for n in known().get(slot, {}) if n not in installed], 1, 0.75)
