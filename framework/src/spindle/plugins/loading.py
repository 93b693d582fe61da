"""Importing one plugin and checking it against its slot, with an error that names what is wrong and with which
distribution."""

from __future__ import annotations

import inspect
import re
import traceback
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from spindle.errors import PluginError

from .discovery import PluginInfo


class BrokenPlugin(PluginError):
    """The plugin cannot be imported."""


class IncompatiblePlugin(PluginError):
    """The plugin does not fit this version of Spindle or its slot."""


class DuplicatePlugin(PluginError):
    """Two distributions provide the same name of the same slot."""


class UnknownPlugin(PluginError):
    """Nothing of that name is installed."""


def title(info: PluginInfo) -> str:
    """Return ``background 'glm' of spindle-background-glm 0.1.0``."""
    return f"{info.slot} {info.name!r} of {info.distribution} {info.version}"


def spec_of(slot: str) -> type | None:
    """Return the class with the hook specifications of ``slot``, or None for a slot this host does not know."""
    from spindle.contracts import SLOTS

    target = SLOTS.get(slot)
    if target is None:
        return None
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)  # type: ignore[no-any-return]


def hooks_of(spec: type) -> dict[str, Any]:
    """Return name -> function of the hooks that ``spec`` declares."""
    return {n: f for n, f in inspect.getmembers(spec, inspect.isfunction) if hasattr(f, "spindle_spec")}


def mandatory_hooks(spec: type) -> list[str]:
    """Return the hooks that each plugin must implement: all but those in the spec's ``optional`` attribute."""
    optional = set(getattr(spec, "optional", ()))
    return [name for name in hooks_of(spec) if name not in optional]


def load(info: PluginInfo, parameter: str = "") -> type:
    """Import the class of a plugin and check it.

    Parameters
    ----------
    info : PluginInfo
    parameter : str
        Where the plugin was chosen, such as ``background.algorithm``; named in errors.

    Raises
    ------
    BrokenPlugin, IncompatiblePlugin
    """
    try:
        return _load(info)
    except PluginError as error:
        if not parameter:
            raise
        raise type(error)(f"{parameter}={info.name}: {error}") from error


@cache
def _load(info: PluginInfo) -> type:
    check_version(info)
    module_name, _, attribute = info.target.partition(":")
    try:
        plugin: Any = import_module(module_name)
        for part in attribute.split("."):
            plugin = getattr(plugin, part)
    except Exception as error:
        cause = traceback.extract_tb(error.__traceback__)[-1]
        raise BrokenPlugin(
            f"{title(info)} is broken: importing {info.target} failed with {type(error).__name__}: {error} "
            f"({cause.filename}:{cause.lineno}). Next: pip install --force-reinstall {info.distribution}, or choose "
            f"another {info.slot}; `spindle plugins --check {info.name}` tries again"
        ) from error
    check_class(info, plugin)
    return plugin  # type: ignore[no-any-return]


def check_module_exists(info: PluginInfo) -> None:
    """Raise `BrokenPlugin` when there is no package for the entry point; nothing is imported."""
    package = info.target.partition(":")[0].partition(".")[0]
    try:
        found = find_spec(package) is not None
    except (ImportError, ValueError):
        found = False
    if not found:
        raise BrokenPlugin(
            f"{title(info)} is broken: its package {package} is not there. "
            f"Next: pip install --force-reinstall {info.distribution}"
        )


def check_class(info: PluginInfo, plugin: Any) -> None:
    """Raise `IncompatiblePlugin` unless ``plugin`` is a class that implements the hooks of its slot."""
    import pluggy

    if not isinstance(plugin, type):
        raise IncompatiblePlugin(
            f"{title(info)}: the entry point {info.target} is {plugin!r}, not a class{_remedy(info)}"
        )
    spec = spec_of(info.slot)
    if spec is None:
        return
    manager = pluggy.PluginManager("spindle")
    manager.add_hookspecs(spec)
    try:
        manager.register(plugin, info.name)
        if info.slot != "observer":
            manager.check_pending()
    except pluggy.PluginValidationError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = " ".join(line for line in lines if not line.startswith("Plugin "))
        hooks = ", ".join(f"{n}{inspect.signature(f)}" for n, f in hooks_of(spec).items())
        raise IncompatiblePlugin(
            f"{title(info)} does not fit the slot: {reason}. The slot's hooks are {hooks}{_remedy(info)}"
        ) from error
    implemented = {caller.name for caller in manager.get_hookcallers(plugin) or ()}
    missing = [name for name in mandatory_hooks(spec) if name not in implemented]
    if missing:
        raise IncompatiblePlugin(
            f"{title(info)} does not implement {', '.join(missing)} of the slot {info.slot!r}: mark the method of "
            f"{plugin.__name__} with @hookimpl{_remedy(info)}"
        )


def _remedy(info: PluginInfo) -> str:
    return (
        f". Next: pip install --upgrade {info.distribution}, or ask its author; "
        f"`spindle plugins --check {info.name}` tries again"
    )


def check_version(info: PluginInfo) -> None:
    """Raise `IncompatiblePlugin` when the distribution asks for another version of spindle."""
    from spindle import __version__

    for ranges in info.requires:
        for clause in ranges.split(","):
            if not satisfies(__version__, clause.strip()):
                raise IncompatiblePlugin(
                    f"{title(info)} needs spindle {ranges}, this is spindle {__version__}. Next: "
                    f'pip install --upgrade "spindle{ranges}" {info.distribution}'
                )


def satisfies(version: str, clause: str) -> bool:
    """Return whether ``version`` fulfils a clause such as ``>=0.1`` or ``~=0.2.1``; only numbers count."""
    match = re.fullmatch(r"(~=|===?|!=|<=|>=|<|>)\s*(\d+(?:\.\d+)*)(\.\*)?.*", clause)
    if not match:
        return True
    operator, wanted_text, star = match.groups()
    wanted = _numbers(wanted_text)
    have = _numbers(version)
    if star:
        equal = have[: len(wanted)] == wanted
        return equal if operator.startswith("==") else not equal
    if operator == "~=":
        return have >= wanted and have[: len(wanted) - 1] == wanted[:-1]
    size = max(len(have), len(wanted))
    left, right = have + (0,) * (size - len(have)), wanted + (0,) * (size - len(wanted))
    return {
        "==": left == right,
        "===": left == right,
        "!=": left != right,
        "<=": left <= right,
        ">=": left >= right,
        "<": left < right,
        ">": left > right,
    }[operator]


def _numbers(version: str) -> tuple[int, ...]:
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(v) for v in match.group().split(".")) if match else (0,)
