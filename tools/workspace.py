"""Keep what all distributions share in step with `packages.toml` and the folders.

``python tools/workspace.py`` writes the shared part of every room's pyproject.toml with the plugins that its code needs, the meta
package, workspace.txt, the marked parts of pyproject.toml, the host's version and list of known plugins, the index of rooms and the
licence of every distribution; ``--check`` only tells what is wrong, and where imports and declared dependencies differ.
The tests run the check.
"""

from __future__ import annotations

import gc
import json
import re
import sys
from pathlib import Path

from dependencies import problems_of_dependencies
from needs import needs_of_rooms
from pyprojects import meta_files, problems_of_text, room_text
from rooms import ROOT, Distribution, Packages, distributions


def problems_of_names(found: list[Distribution], root: Path = ROOT) -> list[str]:
    """Return where folder, distribution, entry point and import names are not in step."""
    problems = []
    for d in found:
        kind = d.kind
        if d.project["name"] != d.name:
            problems.append(f"{d.folder}: the distribution is called {d.project['name']}, not {d.name}")
        if not (root / d.folder / "src" / d.package / "py.typed").exists():
            problems.append(f"{d.folder}: src/{d.package}/py.typed is missing")
        if not (root / d.folder / "README.md").exists():
            problems.append(f"{d.folder}: README.md is missing")
        if bool(d.entry_points) == (kind in ("libraries", "framework")):
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


#: Modules of the host that plugins and libraries may import, whole, and those whose modules are public one by one.
PUBLIC = {
    *("models", "table", "geometry", "prediction", "symmetry", "files", "images", "params", "report", "execution"),
    *("errors", "contracts", "testing"),
}
PUBLIC_INSIDE = {"contracts", "testing"}


def not_public(root: Path = ROOT) -> list[str]:
    """Return the modules of the host that plugins and libraries must not import; ``name.*`` are all that are in a package."""
    found = []
    for path in sorted((root / "framework/src/spindle").iterdir()):
        is_package = (path / "__init__.py").exists()
        if (not is_package and path.suffix != ".py") or path.stem.startswith("_"):
            continue
        if path.stem not in PUBLIC:
            found.append(f"spindle.{path.stem}")
        elif is_package and path.stem not in PUBLIC_INSIDE:
            found.append(f"spindle.{path.stem}.*")
    return found


def wanted_files(found: list[Distribution], root: Path = ROOT) -> dict[Path, str]:
    """Return the texts that the written files should have.

    Every distribution has a copy of LICENSE in its folder: a wheel can hold only what lies below its own project.
    """
    packages = Packages.read(root)
    needs = needs_of_rooms(found, packages, root)
    rooms = {root / d.folder / "pyproject.toml": d for d in found}
    listed = "".join(f'    "{d.package}",\n' for d in found)
    libraries = "".join(f'    "{d.package}",\n' for d in found if d.folder.startswith("libraries/"))
    plugins = "".join(f'    "{d.package}",\n' for d in found[1:] if not d.folder.startswith("libraries/"))
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
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
    inner = "".join(f'    "{name}",\n' for name in not_public(root))
    contract += (
        "\n[[tool.importlinter.contracts]]\n"
        'name = "plugins and libraries import only the public surface of the host"\n'
        'type = "forbidden"\n'
        f"source_modules = [\n{libraries}{plugins}]\n"
        f"forbidden_modules = [\n{inner}]\n"
        "allow_indirect_imports = true\n"
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
        root / "framework/src/spindle/_version.py": (
            f'"""Written by tools/workspace.py from packages.toml."""\n\n__version__ = "{packages.group_of("framework").version}"\n'
        ),
        root / "docs/reference/rooms.md": rooms_page(found),
        **{
            path: room_text(d, needs[d.folder], packages, found, path.read_text(encoding="utf-8"))
            for path, d in rooms.items()
        },
        **meta_files(packages, found, root),
    }


def rooms_page(found: list[Distribution]) -> str:
    """Return the index of all rooms."""
    parts = [
        "# Rooms\n\n<!-- written by tools/workspace.py -->\n\nEvery distribution of this repository: `pip install <distribution>`.\n"
    ]
    for title, kinds in (
        ("Host and libraries", ("framework", "libraries")),
        ("Plugins and formats", ("plugins", "formats")),
    ):
        rows = sorted(
            (slot, name, d.name, d.project.get("description", ""), d.folder)
            for d in found
            if d.kind in kinds
            for slot, name in d.plugins or [("", d.package)]
        )
        head = "| slot | name | distribution | what it does |\n|---|---|---|---|\n"
        if kinds[0] == "framework":
            head = "| import | distribution | what it holds |\n|---|---|---|\n"
        lines = [
            "| "
            + " | ".join(
                [*([slot] if slot else []), f"`{name}`", f"[{distribution}](../../{folder})", text.replace("|", "\\|")]
            )
            + " |\n"
            for slot, name, distribution, text, folder in rows
        ]
        parts.append(f"## {title}\n\n{head}{''.join(lines)}")
    return "\n".join(parts)


def known_plugins(found: list[Distribution]) -> str:
    """Return the list of plugins that the host may advise to install: slot, name and distribution."""
    known: dict[str, dict[str, str]] = {}
    for d in found:
        for group, names in d.entry_points.items():
            for name in names:
                known.setdefault(group.removeprefix("spindle."), {})[name] = d.name
    return json.dumps(known, indent=1, sort_keys=True) + "\n"


def problems(root: Path = ROOT, wanted: dict[Path, str] | None = None) -> list[str]:
    """Return everything that is not in step; ``wanted`` are the texts of the written files where they are known."""
    found = distributions(root)
    wrong = problems_of_names(found, root)
    for path, text in (wanted or wanted_files(found, root)).items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            wrong.append(f"{path.relative_to(root).as_posix()} is not in step; run python tools/workspace.py")
    plugins = frozenset(d.name for d in found if d.entry_points)
    for d in found:
        wrong += problems_of_dependencies(root / d.folder, root, plugins) + problems_of_text(d, root)
    return wrong


def main() -> int:
    """Write or check; return the exit code."""
    wanted = wanted_files(distributions())
    if "--check" not in sys.argv[1:]:
        for path, text in wanted.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                path.write_text(text, encoding="utf-8")
    found = problems(wanted=wanted)
    print("\n".join(found) or "all lists are in step")
    return 1 if found else 0


if __name__ == "__main__":
    gc.disable()  # a million nodes of syntax trees, all of them needed to the end
    sys.exit(main())
