"""Finding plugins without importing them.

Installed distributions are found by reading ``*.dist-info`` folders on `sys.path`, exactly as
`importlib.metadata.entry_points` does but without its start-up cost (a test asserts that both agree). Names, versions
and one-line descriptions come from there.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

GROUP_PREFIX = "spindle."
HOST = "spindle-diffraction-base"  # the distribution that this package comes in


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """An entry point of a plugin.

    Attributes
    ----------
    slot, name : str
        Entry point group without ``spindle.``, and name.
    target : str
        ``module:Class``.
    distribution, version, summary : str
        From the metadata of the distribution.
    requires : tuple of str
        Version ranges of the host, `HOST`, that the distribution asks for, such as ``>=0.1``.
    location : str
        Folder of the metadata.
    step : int or None
        Place among the programs in `spindle --help`, from the keyword ``step:40`` of the distribution.
    file, sha256 : str
        Path and hash of the file of a plugin that is not installed but was given as a file; empty for others.
    """

    slot: str
    name: str
    target: str
    distribution: str
    version: str
    summary: str = ""
    requires: tuple[str, ...] = ()
    location: str = ""
    step: int | None = None
    file: str = ""
    sha256: str = ""


@dataclass(slots=True)
class Metadata:
    """The few fields of a distribution's metadata that are needed here."""

    name: str = ""
    version: str = ""
    summary: str = ""
    requires: list[str] = field(default_factory=list)
    step: int | None = None


def parse_metadata(text: str) -> Metadata:
    """Read name, version, summary, place and the requirement on the host from METADATA or PKG-INFO."""
    found = Metadata()
    for line in text.split("\n\n", 1)[0].splitlines():
        key, _, value = line.partition(":")
        key, value = key.lower(), value.strip()
        if key == "name":
            found.name = value
        elif key == "version":
            found.version = value
        elif key == "summary":
            found.summary = value
        elif key == "keywords":
            place = re.search(r"\bstep:(\d{1,6})\b", value)
            found.step = int(place[1]) if place else None
        elif key == "requires-dist":
            match = re.match(r"([\w.-]+)\s*(?:\[[^]]*\])?\s*\(?\s*([<>=!~][^;)]*)", value)
            if match and _normalised(match.group(1)) == HOST:
                found.requires.append(match.group(2).strip())
    return found


def parse_entry_points(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield (slot, name, target) of the ``spindle.*`` groups in the text of an ``entry_points.txt``."""
    slot = None
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("["):
            group = line.strip("[] ")
            slot = group[len(GROUP_PREFIX) :] if group.startswith(GROUP_PREFIX) else None
        elif slot and line and not line.startswith(("#", ";")) and "=" in line:
            name, _, target = line.partition("=")
            yield slot, name.strip(), target.split("[")[0].strip()


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return None


def _normalised(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def scan(paths: list[str]) -> list[PluginInfo]:
    """Return all plugins found in ``paths`` in their order; a distribution met again further on is hidden by the
    first."""
    found: list[PluginInfo] = []
    seen: set[str] = set()
    for folder in dict.fromkeys(p or os.curdir for p in paths):
        if not os.path.isdir(folder):
            found += _scan_archive(folder, seen)
            continue
        for entry in sorted(os.listdir(folder)):
            if entry.endswith((".dist-info", ".egg-info")):
                found += _read_distribution(os.path.join(folder, entry), seen)
    return found


def _read_distribution(folder: str, seen: set[str]) -> list[PluginInfo]:
    name = _normalised(os.path.basename(folder).rsplit(".", 1)[0].split("-")[0])
    if name in seen:
        return []
    seen.add(name)
    text = _read(os.path.join(folder, "entry_points.txt"))
    if text is None or GROUP_PREFIX not in text:
        return []
    return _infos(
        text, _read(os.path.join(folder, "METADATA")) or _read(os.path.join(folder, "PKG-INFO")) or "", folder
    )


def _infos(entry_points: str, metadata_text: str, location: str) -> list[PluginInfo]:
    metadata = parse_metadata(metadata_text)
    fallback = os.path.basename(location).split("-")[0]
    return [
        PluginInfo(
            slot=slot,
            name=name,
            target=target,
            distribution=metadata.name or fallback,
            version=metadata.version or "unknown",
            summary=metadata.summary,
            requires=tuple(metadata.requires),
            location=location,
            step=metadata.step,
        )
        for slot, name, target in parse_entry_points(entry_points)
    ]


def _scan_archive(path: str, seen: set[str]) -> list[PluginInfo]:
    """Read plugins from a zip file on `sys.path`; rare, so the slow standard way is good enough."""
    if not os.path.isfile(path):
        return []
    from importlib.metadata import distributions

    found: list[PluginInfo] = []
    for distribution in distributions(path=[path]):
        name = _normalised(distribution.name or "")
        text = distribution.read_text("entry_points.txt")
        if name in seen or text is None:
            continue
        seen.add(name)
        found += _infos(text, distribution.read_text("METADATA") or "", path)
    return found


def installed() -> list[PluginInfo]:
    """Return all plugins on `sys.path`."""
    return scan(sys.path)
