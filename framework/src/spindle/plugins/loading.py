"""Importing one plugin and checking it against its slot, with an error that names what is wrong and with which
distribution."""

from __future__ import annotations

import difflib
import inspect
import json
import re
import traceback
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from spindle import __version__
from spindle.errors import PluginError, is_out_of_memory

from .discovery import HOST, PluginInfo
from .names import is_first_party


class BrokenPlugin(PluginError):
    """The plugin cannot be imported."""


class IncompatiblePlugin(PluginError):
    """The plugin does not fit this version of Spindle or its slot."""


class DuplicatePlugin(PluginError):
    """Two distributions provide the same name of the same slot."""


class MisnamedPlugin(PluginError):
    """The plugin has a name that it cannot have."""


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
    if not attribute:
        raise BrokenPlugin(
            f"{title(info)} is broken: its entry point {info.target!r} names no class, as in module:Class. Next: {repair(info)}, or choose "
            f"another {info.slot}; {try_again(info)}"
        )
    try:
        module = import_module(module_name)
    except (Exception, SystemExit) as error:
        if is_out_of_memory(error):  # nothing is wrong with the plugin
            raise
        place = place_of(error)
        raise BrokenPlugin(
            f"{title(info)} is broken: importing {info.target} failed with {type(error).__name__}: {_text(error)} "
            f"({place}){_undeclared(info, error)}. Next: {repair(info, place)}, or choose another {info.slot}; "
            f"{try_again(info)}"
        ) from error
    plugin = _attribute(info, module, attribute)
    check_class(info, plugin)
    return plugin  # type: ignore[no-any-return]


def _attribute(info: PluginInfo, module: Any, attribute: str) -> Any:
    """What an entry point names in a module that could be imported."""
    found = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            names = [
                n for n, value in vars(found).items() if isinstance(value, type) and value.__module__ == module.__name__
            ]
            close = difflib.get_close_matches(part, names, 1)
            hint = f", did you mean {close[0]}?" if close else f"; its classes are {', '.join(names) or 'none'}."
            raise BrokenPlugin(
                f"{title(info)} is broken: {module.__file__} has no {part!r}, which its entry point {info.target} names{hint} "
                f"Next: {repair(info)}, or choose another {info.slot}; {try_again(info)}"
            )
        found = getattr(found, part)
    return found


def _undeclared(info: PluginInfo, error: BaseException) -> str:
    """Of a module that is missing, whether the distribution says that it needs it."""
    if not isinstance(error, ModuleNotFoundError) or not error.name or info.file:
        return ""
    from importlib.metadata import PathDistribution

    needed = [
        re.split(r"[\s;<>=!~\[(]", line, maxsplit=1)[0] for line in PathDistribution(Path(info.location)).requires or []
    ]
    top = re.sub(r"[-_.]+", "-", error.name.partition(".")[0]).lower()
    if top in [re.sub(r"[-_.]+", "-", name).lower() for name in needed]:
        return f", which {info.distribution} declares as a dependency and which is not installed"
    return f", which is none of the dependencies that {info.distribution} declares ({', '.join(needed) or 'none'})"


def check_module_exists(info: PluginInfo) -> None:
    """Raise `BrokenPlugin` when there is no package for the entry point; nothing is imported."""
    package = info.target.partition(":")[0].partition(".")[0]
    try:
        found = find_spec(package) is not None
    except (ImportError, ValueError):
        found = False
    if not found:
        raise BrokenPlugin(f"{title(info)} is broken: its package {package} is not there. Next: {repair(info)}")


def check_class(info: PluginInfo, plugin: Any) -> None:
    """Raise `IncompatiblePlugin` unless ``plugin`` is a class that implements the hooks of its slot."""
    import pluggy

    if not isinstance(plugin, type):
        raise IncompatiblePlugin(
            f"{title(info)}: the entry point {info.target} is {plugin!r}, not a class{_remedy(info)}"
        )
    from spindle.contracts import Algorithm
    from spindle.params import Params

    if not issubclass(plugin, Algorithm):
        raise IncompatiblePlugin(
            f"{title(info)}: {plugin.__name__} is not derived from spindle.contracts.Algorithm{_remedy(info)}"
        )
    if plugin.Params is not None and not (isinstance(plugin.Params, type) and issubclass(plugin.Params, Params)):
        raise IncompatiblePlugin(
            f"{title(info)}: {plugin.__name__}.Params is {plugin.Params!r}, not derived from spindle.params.Params{_remedy(info)}"
        )
    spec = spec_of(info.slot)
    if spec is None:
        return
    check_contract(info, plugin.contract)
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
    if not implemented and not missing and info.slot != "observer":
        missing = [" or ".join(hooks_of(spec))]
    if missing:
        raise IncompatiblePlugin(
            f"{title(info)} does not implement {', '.join(missing)} of the slot {info.slot!r}: mark the method of "
            f"{plugin.__name__} with @hookimpl{_remedy(info)}"
        )


def check_contract(info: PluginInfo, number: int) -> None:
    """Raise `IncompatiblePlugin` when a plugin is written for another contract of its slot than this host's."""
    from spindle.contracts import CONTRACTS

    here = CONTRACTS[info.slot]
    if number == here:
        return
    newer = isinstance(number, int) and number > here
    mend = f"pip install --upgrade {HOST}" if newer else upgrade(info)
    raise IncompatiblePlugin(
        f"{title(info)} is written for contract {number!r} of the slot {info.slot!r}, {HOST} {__version__} has contract {here}. "
        f"Next: {mend}; "
        f"`spindle help {info.slot}` shows the contract; {try_again(info)}"
    )


def _remedy(info: PluginInfo) -> str:
    return f". Next: {upgrade(info)}; {try_again(info)}"


def upgrade(info: PluginInfo) -> str:
    """How a user gets a plugin that fits: from its source, or a later version of it."""
    if folder := editable_source(info):
        return f"mend it in {folder}"
    if is_first_party(info):
        return f"pip install --upgrade {info.distribution}, or ask its author"
    return f"install a later version of {info.distribution} from where you have it, or ask its author"


def try_again(info: PluginInfo) -> str:
    """How a user sees whether a plugin is mended."""
    given = f" --plugin {info.file}:{info.target.partition(':')[2]}" if info.file else ""
    return f"`spindle plugins --check {info.name}{given}` tries again"


def editable_source(info: PluginInfo) -> str:
    """The source of a plugin that was given as a file or whose distribution is installed from it (``pip install -e``); else empty."""
    if info.file:
        return info.file
    place, is_editable = _installed_from(info)
    return place if is_editable else ""


def _installed_from(info: PluginInfo) -> tuple[str, bool]:
    """The folder, file or address that a distribution was installed from, empty when it is not known; whether it is used from there."""
    try:
        found = json.loads((Path(info.location) / "direct_url.json").read_text(encoding="utf-8"))
        address = str(found["url"])
        place = unquote(urlsplit(address).path) if address.startswith("file:") else address
        return place, bool(found.get("dir_info", {}).get("editable"))
    except (OSError, ValueError, KeyError, AttributeError):
        return "", False


def repair(info: PluginInfo, place: str = "") -> str:
    """What mends a broken distribution: its source where it is installed from there, else installing it again.

    A package index is asked only for names of this project: others may be registered by anybody.
    """
    folder = editable_source(info)
    if not folder:
        known, _ = _installed_from(info)
        if not known and is_first_party(info):
            known = info.distribution
        if known:
            return f"pip install --force-reinstall {known}"
        return f"install {info.distribution} again from where you have it, or ask its author"
    file = place.rpartition(":")[0]
    if info.file and not file.startswith(folder):
        return f"mend {folder}"
    return f"mend {place}" if file.startswith(folder) else f"mend {folder} and pip install -e it again"


def place_of(error: BaseException) -> str:
    """``file:line`` of the line of the plugin where an import failed."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    framework = str(Path(__file__).resolve().parent.parent)
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not f.filename.startswith(("<frozen", framework))]
    last = (own or list(frames))[-1]
    return f"{last.filename}:{last.lineno}"


def _text(error: BaseException) -> str:
    return str(error) if not isinstance(error, SystemExit) else f"it ends the process ({error.code})"


_PLAIN_RANGE = re.compile(r"(>=|~=)(\d+)\.(\d+)")
_PLAIN_VERSION = re.compile(r"(\d+)\.(\d+)(\.\d+)*")


def plainly_fits(ranges: str, version: str) -> bool:
    """Whether a version ``1.2.3`` is in a range ``>=1.2`` or ``~=1.2``, False for any other form: `packaging` is slow to import."""
    wanted, found = _PLAIN_RANGE.fullmatch(ranges), _PLAIN_VERSION.fullmatch(version)
    if wanted is None or found is None:
        return False
    major, minor = int(found[1]), int(found[2])
    is_same = major == int(wanted[2])
    return minor >= int(wanted[3]) if is_same else wanted[1] == ">=" and major > int(wanted[2])


def check_version(info: PluginInfo) -> None:
    """Raise `IncompatiblePlugin` when the distribution asks for another version of the host."""
    if all(plainly_fits(ranges, __version__) for ranges in info.requires):
        return
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    for ranges in info.requires:
        try:
            fits = SpecifierSet(ranges).contains(__version__, prereleases=True)
        except InvalidSpecifier as error:
            raise IncompatiblePlugin(
                f"{title(info)} needs {HOST} {ranges}, which is no range of versions. Next: its author has to mend the "
                "dependencies of its pyproject.toml"
            ) from error
        if not fits:
            raise IncompatiblePlugin(
                f"{title(info)} needs {HOST} {ranges}, this is {__version__}. Next: "
                f'pip install --upgrade "{HOST}{ranges}" {info.distribution}'
            )
