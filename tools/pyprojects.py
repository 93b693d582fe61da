"""Write what distributions share into their pyproject.toml files, and the meta package that installs them all.

A room's own part is its description, its entry points, the packages that it imports, and tables of its own; the rest comes from
`packages.toml` and from the folder's name.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

from rooms import HOST, META, Distribution, Packages, name_of

BEGIN = "# begin shared (written by tools/workspace.py from packages.toml)\n"
END = "# end shared\n"
META_FOLDER = f"packages/{META}"
WIDTH = 120
#: Keys of the table `project` that are written from packages.toml.
SHARED_KEYS = frozenset({
    "name", "version", "readme", "requires-python", "license", "license-files", "authors", "classifiers", "urls",
})  # fmt: skip
#: Tables that are written here; subtables may be the room's own.
SHARED_TABLES = frozenset({"project", "build-system", "tool.hatch.build.targets.wheel"})


def toml_list(key: str, values: list[str]) -> str:
    """``key = [...]`` on one line where it fits, as TOML."""
    texts = [json.dumps(v, ensure_ascii=False) for v in values]
    line = f"{key} = [{', '.join(texts)}]\n"
    return line if len(line) <= WIDTH else f"{key} = [\n" + "".join(f"    {t},\n" for t in texts) + "]\n"


def toml_value(key: str, value: Any) -> str:
    """A text or a list of texts, as TOML."""
    if isinstance(value, list):
        return toml_list(key, value)
    return f"{key} = {json.dumps(value, ensure_ascii=False)}\n"


def shared_part(packages: Packages, folder: str, package: str | None) -> str:
    """What `packages.toml` says of a room, between markers; ``package`` is None for one without code."""
    shared = packages.table("shared")
    authors = ", ".join(f"{{ name = {json.dumps(a)} }}" for a in shared["authors"])
    wheel = f'packages = ["src/{package}"]\n' if package else "bypass-selection = true\n"
    urls = "".join(toml_value(key, value) for key, value in shared.get("urls", {}).items())
    return (
        BEGIN
        + f'version = "{packages.group_of(folder).version}"\n'
        + 'readme = "README.md"\n'
        + toml_value("requires-python", shared["requires-python"])
        + toml_value("license", shared["license"])
        + 'license-files = ["LICENSE"]\n'
        + f"authors = [{authors}]\n"
        + toml_list("classifiers", shared["classifiers"])
        + (f"\n[project.urls]\n{urls}" if urls else "")
        + '\n[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        + f"\n[tool.hatch.build.targets.wheel]\n{wheel}"
        + END
    )


def own_tables(text: str) -> str:
    """The tables of a pyproject.toml that are the room's own, as they stand."""
    text = re.sub(rf"{re.escape(BEGIN[:14])}[^\n]*\n.*?{re.escape(END)}", "", text, flags=re.DOTALL)
    parts = re.split(r"(?m)^(?=\[)", text)
    kept = [p for p in parts[1:] if p[: p.index("\n")].split("#")[0].strip(" []") not in SHARED_TABLES]
    return "".join(kept).strip("\n")


def dependencies_of(d: Distribution, needs: list[str], packages: Packages, found: list[Distribution]) -> list[str]:
    """Requirements of a room: the host, plugins that it needs, libraries that it names, then packages of others as they stand."""
    folders = {other.name: other.folder for other in found}
    named = [name_of(r) for r in d.project.get("dependencies", [])]
    libraries = sorted(n for n in named if folders.get(n, "").startswith("libraries/"))
    # a plugin is nothing without the host; a library may do without it
    host = [HOST] if d.entry_points or {HOST, "spindle"} & set(named) else []
    others = [
        r for r, name in zip(d.project.get("dependencies", []), named, strict=True)
        if name not in folders and name != "spindle"
    ]  # fmt: skip
    wanted = [f"{name}{packages.group_of(folders[name]).wanted}" for name in [*host, *libraries, *needs]]
    return wanted + others


def room_text(d: Distribution, needs: list[str], packages: Packages, found: list[Distribution], text: str) -> str:
    """The pyproject.toml of a room as it should be, from what it is."""
    own = {key: value for key, value in d.project.items() if key not in SHARED_KEYS and not isinstance(value, dict)}
    own["dependencies"] = dependencies_of(d, needs, packages, found)
    head = "".join(toml_value(key, own[key]) for key in ["description", *sorted(set(own) - {"description"})])
    tables = own_tables(text)
    return (
        f'[project]\nname = "{d.name}"\n{head}{shared_part(packages, d.folder, d.package)}'
        + (f"\n{tables}\n" if tables else "")
    )  # fmt: skip


def problems_of_text(d: Distribution, root: Path) -> list[str]:
    """What would be lost when the shared part is written."""
    path = root / d.folder / "pyproject.toml"
    text = re.sub(rf"{re.escape(BEGIN)}.*?{re.escape(END)}", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    wrong = []
    for part in re.split(r"(?m)^(?=\[)", text):
        name = part[: part.find("\n")].split("#")[0].strip(" []")
        if name == "project" and re.search(r"(?m)^\s*#", part):
            wrong.append(f"{d.folder}/pyproject.toml: comments in [project] are not kept; write them into the README")
    if not d.project.get("description"):
        wrong.append(f"{d.folder}/pyproject.toml: description is missing")
    return wrong


def meta_files(packages: Packages, found: list[Distribution], root: Path) -> dict[Path, str]:
    """The meta package: all rooms, those of extras that stand apart only with their extra."""
    folders = {d.name: d.folder for d in found}
    provider = {f"{slot}:{name}": d.name for d in found for slot, name in d.plugins}
    wanted = {name: f"{name}{packages.group_of(folder).wanted}" for name, folder in folders.items()}
    apart: set[str] = set()
    extras: dict[str, list[str]] = {}
    for extra, settings in packages.table("extras").items():
        names = [provider[plugin] for plugin in settings["rooms"] if plugin in provider]
        extras[extra] = []
        for name in names:
            own = next(d for d in found if d.name == name).project.get("optional-dependencies", {})
            inner = f"[{extra}]" if extra in own else ""
            extras[extra].append(wanted[name].replace(name, name + inner, 1))
        extras[extra] += settings.get("packages", [])
        apart |= set(names) if settings.get("apart") else set()
    extras["all"] = [f"{META}[{','.join(sorted(extras))}]"]
    base = [wanted[d.name] for d in found if d.name not in apart and d.kind != "libraries"]
    text = (
        f'[project]\nname = "{META}"\ndescription = "Rotation diffraction images in, intensities out: Spindle with its plugins"\n'
        + toml_list("dependencies", base)
        + shared_part(packages, META_FOLDER, None)
        + "\n[project.optional-dependencies]\n"
        + "".join(toml_list(extra, extras[extra]) for extra in extras)
    )
    tomllib.loads(text)
    lines = [f"| `{extra}` | {packages.table('extras')[extra]['help']} |\n" for extra in extras if extra != "all"]
    readme = (
        f"# {META}\n\nSpindle turns X-ray and electron rotation diffraction images into intensities; every algorithm is a plugin in "
        f"a distribution of its own. This one holds no code: it installs the host and the plugins.\n\n```\npip install {META}\n"
        f"spindle process images/*.cbf\n```\n\n| extra | adds |\n|---|---|\n{''.join(lines)}| `all` | all of them |\n\n"
        "A single program installs alone, with the plugins that it needs: `pip install spindle-program-process`.\n"
    )
    folder = root / META_FOLDER
    return {
        folder / "pyproject.toml": text,
        folder / "README.md": readme,
        folder / "LICENSE": (root / "LICENSE").read_text(encoding="utf-8"),
    }
