"""Begin a room, a plugin or a library of this repository, that passes all checks as it is.

``python tools/new.py exporter columns summary="What it does"`` writes plugins/exporter/columns (formats/<name> for a format, libraries/<name>
for a library) from the templates of ``spindle new-plugin``, then what all rooms share, installs it in editable mode and brings the
reference up to date. ``like=<plugin>`` begins one whose hooks ask another plugin of its slot. ``--no-install`` leaves out the last two
steps.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from rooms import ROOT

from spindle.cli.new_plugin import read_words, write
from spindle.cli.skeleton import Skeleton
from spindle.errors import UserError


def folder_of(skeleton: Skeleton) -> str:
    """Where the room of a plugin or library is."""
    kinds = {"format": "formats", "library": "libraries"}
    return f"{kinds.get(skeleton.slot, f'plugins/{skeleton.slot}')}/{skeleton.name}"


def main(words: list[str], root: Path = ROOT) -> int:
    """Write the room; return the exit code."""
    install = "--no-install" not in words
    words = [w for w in words if w != "--no-install"]
    if not words or words[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    try:
        skeleton, _ = read_words(words)
        folder = folder_of(skeleton)
        write(root / folder, skeleton.files())
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    steps = [[sys.executable, "tools/workspace.py"]]
    if install:
        pip = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-build-isolation", "--no-deps"]
        steps += [[sys.executable, *pip, "-e", f"./{folder}"], [sys.executable, "tools/reference.py"]]
    for step in steps:
        if code := subprocess.run(step, cwd=root, check=False).returncode:
            return code
    print(f"Wrote {folder}. Next: python -m pytest {folder}, and change {folder}/src/{skeleton.package}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
