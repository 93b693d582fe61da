"""The distributions of this repository: what their folders say, and what `packages.toml` says of all of them."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import cache, cached_property
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
HOST = "spindle-diffraction-base"
META = "spindle-diffraction"


@cache
def parsed(file: Path) -> ast.Module:
    """The syntax tree of a file; each is read once."""
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


def normalised(name: str) -> str:
    """The canonical form of a distribution's name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def name_of(requirement: str) -> str:
    """Name of the distribution in a requirement, ``spindle-lib-ice`` of ``spindle-lib-ice~=0.1``."""
    return normalised(re.split(r"[^A-Za-z0-9._-]", requirement.strip(), maxsplit=1)[0])


def names_of(folder: str) -> tuple[str, str]:
    """Distribution and package of a room, ``spindle-background-glm`` and ``spindle_background_glm`` of plugins/background/glm."""
    kind, *parts = folder.split("/")
    if kind == "framework":
        return HOST, "spindle"
    first = {"formats": ["format"], "libraries": ["lib"]}.get(kind, [])
    name = "-".join(["spindle", *first, *parts]).replace("_", "-")
    return name, name.replace("-", "_")


@dataclass(frozen=True)
class Distribution:
    """A first-party distribution.

    Attributes
    ----------
    folder : str
        Relative to the root, ``plugins/background/glm``.
    name, package : str
        ``spindle-background-glm`` and ``spindle_background_glm``.
    entry_points : dict
        Group -> name -> target.
    project : dict
        The table ``project`` of its pyproject.toml.
    """

    folder: str
    name: str
    package: str
    entry_points: dict[str, dict[str, str]]
    project: dict[str, Any] = field(default_factory=dict, hash=False, compare=False)

    @property
    def kind(self) -> str:
        """``framework``, ``libraries``, ``plugins`` or ``formats``."""
        return self.folder.partition("/")[0]

    @property
    def plugins(self) -> list[tuple[str, str]]:
        """(slot, name) of its entry points."""
        return [(g.removeprefix("spindle."), n) for g, names in self.entry_points.items() for n in names]


def distributions(root: Path = ROOT) -> list[Distribution]:
    """Return all first-party distributions, the framework first."""
    files = [
        root / "framework" / "pyproject.toml",
        *sorted(root.glob("libraries/*/pyproject.toml")),
        *sorted(root.glob("plugins/*/*/pyproject.toml")),
        *sorted(root.glob("formats/*/pyproject.toml")),
    ]
    found = []
    for file in files:
        project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
        folder = file.parent.relative_to(root).as_posix()
        name, package = names_of(folder)
        found.append(Distribution(folder, name, package, project.get("entry-points", {}), project))
    return found


def in_order_of_use(programs: Iterable[str], root: Path = ROOT) -> list[str]:
    """Programs by the place that their distributions say (keyword ``step:40``), others after them by name, as the command line has them."""
    places = {
        name: int(keyword.partition(":")[2])
        for d in distributions(root)
        for slot, name in d.plugins
        for keyword in d.project.get("keywords", [])
        if slot == "program" and keyword.startswith("step:")
    }
    return sorted(programs, key=lambda name: (name not in places, places.get(name, 0), name))


@dataclass(frozen=True)
class Group:
    """Rooms that are released together: their folders, their version, and what others ask of them."""

    name: str
    rooms: tuple[str, ...]
    version: str
    wanted: str


@dataclass(frozen=True)
class Packages:
    """`packages.toml`."""

    settings: dict[str, Any]

    @classmethod
    def read(cls, root: Path = ROOT) -> Packages:
        """Read it."""
        return cls(tomllib.loads((root / "packages.toml").read_text(encoding="utf-8")))

    @cached_property
    def groups(self) -> list[Group]:
        """The groups, in the order of the file."""
        return [
            Group(name, tuple(g["rooms"]), g["version"], g["wanted"]) for name, g in self.settings["groups"].items()
        ]

    def group_of(self, folder: str) -> Group:
        """The group of a room."""
        for group in self.groups:
            if any(fnmatch(folder, pattern) for pattern in group.rooms):
                return group
        raise SystemExit(f"packages.toml has no group with {folder}")

    def table(self, name: str) -> dict[str, Any]:
        """One of its tables, empty when it is not there."""
        found: dict[str, Any] = self.settings.get(name, {})
        return found
