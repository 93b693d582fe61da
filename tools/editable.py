"""The wheels with which run.py installs every distribution in editable mode, all built in one process.

``python tools/editable.py build FOLDER`` writes wheels that point to the sources into FOLDER, and their addresses into FOLDER/wheels.txt for
``pip install -r``. ``python tools/editable.py note`` says of each that is installed where its source is. Both are what ``pip install -e``
does (PEP 660, PEP 610), which starts two processes for each distribution. Needs hatchling and editables in the same environment.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
import tomllib
from importlib import metadata
from pathlib import Path

from rooms import ROOT

NOTE = "direct_url.json"


def rooms(root: Path = ROOT) -> list[Path]:
    """Folders of the distributions that workspace.txt names."""
    lines = (root / "workspace.txt").read_text(encoding="utf-8").splitlines()
    return [(root / line.removeprefix("-e ")).resolve() for line in lines if line.startswith("-e ")]


def build(target: Path, root: Path = ROOT) -> list[Path]:
    """Build a wheel of each room that points to its sources; return the files."""
    from hatchling.builders.wheel import WheelBuilder

    made = [
        Path(file).resolve()
        for room in rooms(root)
        for file in WheelBuilder(str(room)).build(directory=str(target), versions=["editable"])
    ]
    (target / "wheels.txt").write_text("".join(f"{file.as_uri()}\n" for file in made), encoding="utf-8")
    return made


def note(distribution: metadata.Distribution, room: Path) -> None:
    """Say in the installed files of a distribution that it is used from a folder."""
    listed = next(file for file in distribution.files or () if file.name == "RECORD")
    record = Path(str(distribution.locate_file(listed)))
    text = json.dumps({"dir_info": {"editable": True}, "url": room.as_uri()}).encode()
    (record.parent / NOTE).write_bytes(text)
    digest = base64.urlsafe_b64encode(hashlib.sha256(text).digest()).rstrip(b"=").decode()
    name = f"{listed.parent.as_posix()}/{NOTE}"
    lines = [line for line in record.read_text(encoding="utf-8").splitlines() if not line.startswith(f"{name},")]
    lines.append(f"{name},sha256={digest},{len(text)}")
    record.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def main(words: list[str]) -> int:
    """Do what the command line says; return the exit code."""
    if words[:1] == ["build"] and len(words) == 2:
        print(f"built {len(build(Path(words[1])))} wheels")
    elif words == ["note"]:
        for room in rooms():
            project = tomllib.loads((room / "pyproject.toml").read_text(encoding="utf-8"))["project"]
            note(metadata.distribution(project["name"]), room)
    else:
        print(__doc__)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
