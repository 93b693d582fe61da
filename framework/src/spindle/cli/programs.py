"""The installed programs by name, and in the order in which they are used."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spindle.plugins.discovery import PluginInfo


def program_name(command: str) -> str:
    """Return the installed program that ``command`` means; raise `UnknownPlugin` with close matches if there is
    none."""
    from spindle.plugins import registry

    name = command.replace("-", "_").removeprefix("spindle.").removeprefix("dials.")
    plugins = registry()
    if name not in plugins.names("program"):
        plain = command.removeprefix("spindle.").removeprefix("dials.")
        if any(i.slot == "program" and i.name == plain for i in plugins.infos):
            plugins.find("program", plain)  # raises, and says why it cannot be run
        from difflib import get_close_matches

        from spindle.plugins import UnknownPlugin
        from spindle.plugins.names import where_to_get

        if command.startswith("-"):
            raise UnknownPlugin(f"{command} is not an option of spindle. Next: spindle --help")
        close = get_close_matches(
            name,
            [*plugins.names("program"), "plugins", "help", "replay", "new-plugin", "compile", "cite", "completion"],
            3,
        )
        hint = f" Did you mean {' or '.join(close)}?" if close else ""
        source = where_to_get("program", name)
        raise UnknownPlugin(
            f"there is no program {command!r}.{hint} Next: spindle --help lists the programs{f', {source}' if source else ''}"
        )
    return name


def in_order_of_use() -> list[PluginInfo]:
    """Return the installed programs by the place that their distributions say (keyword ``step:40``), others after them by name."""
    from spindle.plugins import registry

    programs = [i for i in registry().infos if i.slot == "program"]
    return sorted(programs, key=lambda i: (i.step is None, i.step or 0, i.name))
