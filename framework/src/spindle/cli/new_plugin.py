"""``spindle new-plugin SLOT NAME``: begin a plugin."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from spindle.errors import UserError

from .skeleton import Skeleton

USAGE = """usage: spindle new-plugin SLOT NAME [folder=FOLDER] [summary="What it does"] [like=PLUGIN]

Writes a package with a plugin that works and passes the conformance tests of its slot as it is: change it from there.
  folder   where it is written; by default a folder named after the distribution
  summary  one line that help and lists show
  like     an installed plugin of the slot that the new one asks until its hooks are replaced
"""


def read_words(words: list[str]) -> tuple[Skeleton, dict[str, str]]:
    """The plugin that a command line describes, and its settings."""
    plain = [w for w in words if "=" not in w]
    given = dict(w.split("=", 1) for w in words if "=" in w)
    unknown = sorted(set(given) - {"folder", "summary", "like"}) + [w for w in plain if w.startswith("-")]
    if len(plain) != 2 or unknown:
        raise UserError(f"{f'unknown: {unknown[0]}' if unknown else 'name a slot and the new plugin'}\n\n{USAGE}")
    return Skeleton(plain[0], plain[1], given.get("summary", ""), given.get("like", "")), given


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Write the files of a new package; raise `UserError` where there is something already."""
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} is there already and not empty; give another with folder=")
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def new_plugin_command(words: list[str]) -> int:
    """Write the package and say what to do next."""
    if words in (["-h"], ["--help"]):
        print(USAGE)
        return 0
    skeleton, given = read_words(words)
    folder = Path(given.get("folder") or skeleton.distribution)
    write(folder, skeleton.files())
    print(f"Wrote {folder}: {', '.join(sorted(skeleton.files()))}")
    print(f"\nNext: pip install -e {folder}\n      pytest {folder}/tests")
    if skeleton.slot != "library":
        print(
            f"      spindle plugins --check {skeleton.name}\n      and change {folder}/src/{skeleton.package}/{skeleton.module}.py"
        )
    return 0
