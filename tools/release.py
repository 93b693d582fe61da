"""Build a wheel and a source archive of every distribution, and raise the version of a group of them.

``python tools/release.py build FOLDER`` writes a wheel and a source archive of every room, and of the meta package, into FOLDER
(``--wheels`` leaves out the archives). ``python tools/release.py needs`` prints what all rooms need of others, as pip reads it: with these wheels
beside, an installation asks no index for a room. ``python tools/release.py bump GROUP major|minor|patch|VERSION`` changes the version of a group in
packages.toml, and what other rooms ask of it where the new version is outside of that, and writes what follows from it.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import workspace
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version
from pyprojects import META_FOLDER
from rooms import ROOT, Packages, distributions, name_of


def build_one(folder: str, target: Path, root: Path = ROOT, wheels_only: bool = False) -> list[str]:
    """Build one room; return the names of the files."""
    from hatchling.builders.sdist import SdistBuilder
    from hatchling.builders.wheel import WheelBuilder

    room = str(root / folder)
    made = list(WheelBuilder(room).build(directory=str(target), versions=["standard"]))
    if not wheels_only:
        made += SdistBuilder(room).build(directory=str(target), versions=["standard"])
    return [Path(name).name for name in made]


def build(
    target: Path, root: Path = ROOT, wheels_only: bool = False, folders: Iterable[str] | None = None
) -> list[str]:
    """Build all rooms, or those named, on all cores; return the names of the files."""
    target.mkdir(parents=True, exist_ok=True)
    rooms = list(folders) if folders is not None else [d.folder for d in distributions(root)] + [META_FOLDER]
    os.environ.setdefault("SOURCE_DATE_EPOCH", "1580601600")  # the same files from the same sources
    with ProcessPoolExecutor() as pool:
        one = partial(build_one, target=target, root=root, wheels_only=wheels_only)
        return [name for names in pool.map(one, rooms) for name in names]


def needs_of_others(root: Path = ROOT) -> list[str]:
    """Requirements of all rooms that are no rooms themselves."""
    rooms = distributions(root)
    own = {d.name for d in rooms}
    return sorted({r for d in rooms for r in d.project.get("dependencies", []) if name_of(r) not in own})


def next_version(version: str, what: str) -> str:
    """``minor`` of 0.1.2 is 0.2.0; a version is itself, and must be a later one."""
    release = [*Version(version).release, 0, 0][:3]
    if what in ("major", "minor", "patch"):
        place = ("major", "minor", "patch").index(what)
        return ".".join(map(str, [*release[:place], release[place] + 1, *[0] * (2 - place)]))
    try:
        if Version(what) > Version(version):
            return what
    except InvalidVersion as error:
        raise SystemExit(f"{what} is neither major, minor, patch nor a version") from error
    raise SystemExit(f"{what} is not later than {version}")


def bumped(text: str, group: str, what: str) -> str:
    """Return packages.toml with another version of one group."""
    part = re.search(rf"(?ms)^\[groups\.{re.escape(group)}\]\n.*?(?=^\[|^#|\Z)", text)
    if part is None:
        names = ", ".join(re.findall(r"(?m)^\[groups\.(\w+)\]", text))
        raise SystemExit(f"packages.toml has no group {group}; there are {names}")
    found = dict(re.findall(r'(?m)^(version|wanted) = "([^"]+)"', part.group()))
    version = next_version(found["version"], what)
    new = part.group().replace(f'version = "{found["version"]}"', f'version = "{version}"')
    if not SpecifierSet(found["wanted"]).contains(version, prereleases=True):
        wanted = "~=" + ".".join(map(str, [*Version(version).release, 0][:2]))
        new = new.replace(f'wanted = "{found["wanted"]}"', f'wanted = "{wanted}"')
    return text[: part.start()] + new + text[part.end() :]


def main(words: list[str], root: Path = ROOT) -> int:
    """Do what the command line says; return the exit code."""
    if words[:1] == ["build"] and len([w for w in words if w != "--wheels"]) == 2:
        made = build(Path(next(w for w in words[1:] if w != "--wheels")), root, "--wheels" in words)
        print(f"built {len(made)} files")
    elif words == ["needs"]:
        print("\n".join(needs_of_others(root)))
    elif words[:1] == ["bump"] and len(words) == 3:
        path = root / "packages.toml"
        path.write_text(bumped(path.read_text(encoding="utf-8"), words[1], words[2]), encoding="utf-8")
        for file, text in workspace.wanted_files(distributions(root), root).items():
            file.write_text(text, encoding="utf-8")
        print(f"{words[1]} is {next(g.version for g in Packages.read(root).groups if g.name == words[1])}")
    else:
        print(__doc__)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
