"""The installed plugins by slot and name."""

from __future__ import annotations

import difflib
import logging
import os
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from hashlib import sha256

from spindle import __version__
from spindle.errors import PluginError

from .discovery import PluginInfo, scan
from .loading import DuplicatePlugin, IncompatiblePlugin, MisnamedPlugin, UnknownPlugin, load, title
from .names import bears_name, close_known, fault_of_name, fault_of_slot, where_to_get

log = logging.getLogger(__name__)

SOUND = "SPINDLE_SOUND"  # environment variable with the stamp of the plugins that a process found sound; its children inherit it


class Registry:
    """What one scan found.

    Parameters
    ----------
    infos : list of PluginInfo
    """

    def __init__(self, infos: list[PluginInfo]) -> None:
        self.infos = infos
        self._told: set[PluginInfo] = set()
        self._by_slot: dict[str, dict[str, list[PluginInfo]]] = {}
        for info in infos:
            self._by_slot.setdefault(info.slot, {}).setdefault(info.name, []).append(info)
        for found in (found for names in self._by_slot.values() for found in names.values()):
            found.sort(key=lambda info: not bears_name(info))

    @property
    def slots(self) -> tuple[str, ...]:
        """Slots with at least one plugin."""
        return tuple(sorted(self._by_slot))

    def names(self, slot: str) -> tuple[str, ...]:
        """Return the names installed for ``slot``, sorted."""
        return tuple(sorted(n for n, found in self._by_slot.get(slot, {}).items() if not fault_of_name(found[0])))

    def named(self, name: str) -> list[PluginInfo]:
        """Return all plugins called ``name`` or ``slot.name``."""
        exact = [i for i in self.infos if name in (i.name, f"{i.slot}.{i.name}")]
        plain = name.replace("-", "_")
        return exact or [i for i in self.infos if plain in (i.name, f"{i.slot}.{i.name}")]

    def find(self, slot: str, name: str, parameter: str = "") -> PluginInfo:
        """Return the plugin ``name`` of ``slot``; raise `UnknownPlugin` or `DuplicatePlugin`.

        Of several with that name it is the one whose distribution is called after it, if there is such a one; see `bears_name`.
        """
        where = f"{parameter}={name}: " if parameter else ""
        found = self._by_slot.get(slot, {}).get(name, [])
        if not found:
            names = self.names(slot)
            close = difflib.get_close_matches(name, names, 2)
            did_you_mean = f" Did you mean {' or '.join(close)}?" if close else ""
            have = f"installed are: {', '.join(names)}" if names else "none is installed"
            absent = name if where_to_get(slot, name) else "".join(close_known(slot, name, names))
            source = where_to_get(slot, absent)
            if source and absent != name and not close:
                did_you_mean = f" Did you mean {absent}, which is not installed?"
            advice = f", {source}" if source and (absent == name or not close) else ""
            raise UnknownPlugin(
                f"{where}there is no {slot} {name!r}; {have}.{did_you_mean} Next: `spindle plugins` lists everything{advice}"
            )
        if fault := fault_of_name(found[0]):
            raise MisnamedPlugin(
                f"{where}{title(found[0])} cannot be used by that name: {fault}. Next: its author has to give it another name"
            )
        if len(found) > 1 and not bears_name(found[0]):
            both = " and ".join(f"{i.distribution} {i.version}" for i in found)
            raise DuplicatePlugin(
                f"{where}{slot} {name!r} is provided twice, by {both}. Next: pip uninstall one of them "
                f"(pip uninstall {found[-1].distribution}), or have its author give it another name"
            )
        return found[0]

    def load(self, slot: str, name: str, parameter: str = "") -> type:
        """Return the class of a plugin, imported and checked."""
        info = self.find(slot, name, parameter)
        for other in self._by_slot[slot][name][1:]:
            if other not in self._told:
                self._told.add(other)
                log.warning("%s", _hidden(other, info))
        return load(info, parameter)

    def state(self, info: PluginInfo, check: bool = False) -> str:
        """Return ``ok``, ``duplicate``, ``incompatible`` or ``broken``; only with ``check`` is the plugin imported."""
        return self.diagnose(info, check)[0]

    def diagnose(self, info: PluginInfo, check: bool = True, call: bool = False) -> tuple[str, str]:
        """Return the state of a plugin and the message that explains it.

        Parameters
        ----------
        info : PluginInfo
        check : bool
            Import it, and make an instance with default parameters.
        call : bool
            Also call its hooks with the smallest input of the conformance kit, where there is one for the slot.
        """
        from .loading import check_module_exists, check_version

        try:
            if fault := fault_of_slot(info.slot):
                raise IncompatiblePlugin(f"{title(info)}: {fault} Next: its author has to change the entry point group")
            chosen = self.find(info.slot, info.name)
            if chosen != info:
                raise DuplicatePlugin(_hidden(info, chosen))
            if check:
                plugin = load(info)
                from .trial import try_plugin

                reason = try_plugin(self, info, plugin, call)
                if reason:
                    return "ok", f"{title(info)} is fine, but cannot be used on this machine: {reason}"
            else:
                check_version(info)
                check_module_exists(info)
        except MisnamedPlugin as error:
            return "misnamed", str(error)
        except DuplicatePlugin as error:
            return "duplicate", str(error)
        except IncompatiblePlugin as error:
            return "incompatible", str(error)
        except PluginError as error:
            return "broken", str(error)
        return "ok", f"{title(info)} is fine"

    def check_all(self) -> None:
        """Raise `PluginError` with all failures of all installed plugins (what SPINDLE_STRICT=1 asks for).

        Once is enough: what this process has found sound, neither it nor the processes that it starts check again.
        """
        stamp = self._stamp()
        if os.environ.get(SOUND) == stamp:
            return
        failures = [message for state, message in map(self.diagnose, self.infos) if state != "ok"]
        if failures:
            raise PluginError("SPINDLE_STRICT=1 and these plugins fail:\n  " + "\n  ".join(dict.fromkeys(failures)))
        os.environ[SOUND] = stamp

    def _stamp(self) -> str:
        """Hash of all that is known of the plugins before they are imported, and when they were installed."""
        places = sorted({info.location for info in self.infos})
        installed = [(place, os.stat(place).st_mtime_ns) for place in places if os.path.exists(place)]
        return sha256(repr((__version__, sys.version, self.infos, installed)).encode()).hexdigest()

    def rows(self, check: bool = False) -> list[dict[str, str]]:
        """Return slot, name, distribution, version, state of every plugin, sorted by slot and name."""
        return [asdict(PluginRow.of(self, i, check)) for i in sorted(self.infos, key=lambda i: (i.slot, i.name))]


def _hidden(info: PluginInfo, chosen: PluginInfo) -> str:
    """What is said of a plugin whose name belongs to another one."""
    return (
        f"{title(info)} is not used: {chosen.distribution} {chosen.version}, which is called after it, provides a {info.slot} of that "
        f"name. Next: have its author give it another name, or pip uninstall {info.distribution}"
    )


@dataclass(frozen=True, slots=True)
class PluginRow:
    """One line of `spindle plugins`."""

    slot: str
    name: str
    distribution: str
    version: str
    state: str

    @classmethod
    def of(cls, registry: Registry, info: PluginInfo, check: bool) -> PluginRow:
        return cls(info.slot, info.name, info.distribution, info.version, registry.state(info, check))


_cache: dict[tuple[tuple[str, ...], tuple[PluginInfo, ...]], Registry] = {}
_given: list[PluginInfo] = []


def registry() -> Registry:
    """Return what is installed on the present `sys.path`, scanned once, and what was given as files."""
    paths, given = tuple(sys.path), tuple(_given)
    if (paths, given) not in _cache:
        installed = _cache[paths, ()].infos if (paths, ()) in _cache else scan(sys.path)
        _cache[paths, given] = Registry([*installed, *given])
    return _cache[paths, given]


def given_infos() -> tuple[PluginInfo, ...]:
    """Return the plugins that were given as files; see `spindle.plugins.single_file`."""
    return tuple(_given)


def take(infos: Iterable[PluginInfo]) -> None:
    """Let these be the plugins that were given as files."""
    _given[:] = infos


def refresh() -> None:
    """Forget what was scanned, after something was installed."""
    _cache.clear()


def is_strict() -> bool:
    """Return whether SPINDLE_STRICT asks that any plugin failure be fatal."""
    return os.environ.get("SPINDLE_STRICT", "") not in ("", "0")
