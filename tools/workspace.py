"""Keep the lists of distributions in step with the folders.

``python tools/workspace.py`` writes workspace.txt, the marked parts of pyproject.toml, the host's list of known plugins and
the licence of every distribution; ``--check`` only tells what is wrong, and where imports and declared dependencies differ.
The tests run the check.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from dependencies import problems_of_dependencies

ROOT = Path(__file__).resolve().parent.parent


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
    """

    folder: str
    name: str
    package: str
    entry_points: dict[str, dict[str, str]]


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
        settings = tomllib.loads(file.read_text(encoding="utf-8"))
        packages = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
        project = settings["project"]
        found.append(
            Distribution(
                folder=file.parent.relative_to(root).as_posix(),
                name=project["name"],
                package=packages[0].rpartition("/")[2],
                entry_points=project.get("entry-points", {}),
            )
        )
    return found


def problems_of_names(found: list[Distribution], root: Path = ROOT) -> list[str]:
    """Return where folder, distribution, entry point and import names are not in step."""
    problems = []
    for d in found[1:]:
        kind, *parts = d.folder.split("/")
        room = {"formats": ["format"], "libraries": ["lib"]}.get(kind, []) + parts
        slot_and_name = "-".join(room).replace("_", "-")
        if d.name != f"spindle-{slot_and_name}":
            problems.append(f"{d.folder}: the distribution is called {d.name}, not spindle-{slot_and_name}")
        if d.package != d.name.replace("-", "_"):
            problems.append(f"{d.folder}: the package is called {d.package}, not {d.name.replace('-', '_')}")
        if not (root / d.folder / "src" / d.package / "py.typed").exists():
            problems.append(f"{d.folder}: src/{d.package}/py.typed is missing")
        if not (root / d.folder / "README.md").exists():
            problems.append(f"{d.folder}: README.md is missing")
        if bool(d.entry_points) == (kind == "libraries"):
            problems.append(f"{d.folder}: {'an entry point in a library' if d.entry_points else 'no entry point'}")
        for group, names in d.entry_points.items():
            slot = group.removeprefix("spindle.")
            prefix = f"spindle-{slot.replace('_', '-')}-"
            if not d.name.startswith(prefix):
                problems.append(f"{d.folder}: its entry point group is {group}")
            first = d.name.removeprefix(prefix).replace("-", "_").lower()
            if len(names) == 1 and next(iter(names)).lower() != first:
                problems.append(f"{d.folder}: its entry point is called {next(iter(names))}, not {first}")
            for target in names.values():
                if not re.match(rf"{d.package}(\.|:)", target):
                    problems.append(f"{d.folder}: the entry point {target} is not in {d.package}")
    return problems


def replaced(text: str, part: str, content: str) -> str:
    """Return ``text`` with the lines between the markers of ``part`` replaced."""
    pattern = re.compile(rf"(# begin {part} [^\n]*\n).*?(# end {part}\n)", re.DOTALL)
    if not pattern.search(text):
        raise SystemExit(f"pyproject.toml has no part '{part}'")
    return pattern.sub(lambda m: m.group(1) + content + m.group(2), text)


def wanted_files(found: list[Distribution], root: Path = ROOT) -> dict[Path, str]:
    """Return the texts that the written files should have.

    Every distribution has a copy of LICENSE in its folder: a wheel can hold only what lies below its own project.
    """
    quoted = "".join(f'    "{d.name}",\n' for d in found)
    packages = [d.package for d in found]
    listed = "".join(f'    "{p}",\n' for p in packages)
    libraries = "".join(f'    "{d.package}",\n' for d in found if d.folder.startswith("libraries/"))
    plugins = "".join(f'    "{d.package}",\n' for d in found[1:] if not d.folder.startswith("libraries/"))
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    text = replaced(text, "dependencies", f"dependencies = [\n{quoted}]\n")
    sources = "".join(f"{d.name} = {{ workspace = true }}\n" for d in found)
    text = replaced(text, "sources", f"[tool.uv.sources]\n{sources}")
    text = replaced(text, "root packages", f"root_packages = [\n{listed}]\n")
    contract = (
        "[[tool.importlinter.contracts]]\n"
        'name = "a plugin never imports another plugin"\n'
        'type = "independence"\n'
        f"modules = [\n{plugins}]\n\n"
        "[[tool.importlinter.contracts]]\n"
        'name = "the framework imports no plugin and no library"\n'
        'type = "forbidden"\n'
        'source_modules = ["spindle"]\n'
        f"forbidden_modules = [\n{libraries}{plugins}]\n"
    )
    if libraries:
        contract += (
            "\n[[tool.importlinter.contracts]]\n"
            'name = "a library imports no plugin"\n'
            'type = "forbidden"\n'
            f"source_modules = [\n{libraries}]\n"
            f"forbidden_modules = [\n{plugins}]\n"
        )
    text = replaced(text, "plugins", contract)
    workspace = "# Every distribution of this repository, written by tools/workspace.py.\n"
    workspace += "".join(f"-e ./{d.folder}\n" for d in found)
    licence = (root / "LICENSE").read_text(encoding="utf-8")
    return {
        **{root / d.folder / "LICENSE": licence for d in found},
        root / "workspace.txt": workspace,
        root / "pyproject.toml": text,
        root / "framework/src/spindle/plugins/known.json": known_plugins(found),
    }


def known_plugins(found: list[Distribution]) -> str:
    """Return the list of plugins that the host may advise to install: slot, name and distribution."""
    known: dict[str, dict[str, str]] = {}
    for d in found:
        for group, names in d.entry_points.items():
            for name in names:
                known.setdefault(group.removeprefix("spindle."), {})[name] = d.name
    return json.dumps(known, indent=1, sort_keys=True) + "\n"


def problems(root: Path = ROOT) -> list[str]:
    """Return everything that is not in step."""
    found = distributions(root)
    wrong = problems_of_names(found, root)
    for path, text in wanted_files(found, root).items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            wrong.append(f"{path.relative_to(root).as_posix()} is not in step; run python tools/workspace.py")
    for d in found:
        wrong += problems_of_dependencies(root / d.folder, root)
    return wrong


def main() -> int:
    """Write or check; return the exit code."""
    if "--check" not in sys.argv[1:]:
        for path, text in wanted_files(distributions()).items():
            path.write_text(text, encoding="utf-8")
    found = problems()
    print("\n".join(found) or "all lists are in step")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
