"""What run.py installs at once is what ``pip install -e`` would install: it points to the sources and says so."""

from __future__ import annotations

import base64
import hashlib
import json
import zipfile
from importlib import metadata

import editable

PROJECT = """[project]
name = "Mine_Of.One"
version = "0.3"
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[tool.hatch.build.targets.wheel]
packages = ["src/mine_of_one"]
"""


def test_a_wheel_points_to_its_sources_and_its_files_say_so(tmp_path):
    room, site = tmp_path / "rooms with space" / "one", tmp_path / "site"
    (room / "src/mine_of_one").mkdir(parents=True)
    (room / "src/mine_of_one/__init__.py").write_text("")
    (room / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "workspace.txt").write_text("# all\n-e ./rooms with space/one\n")
    (wheel,) = editable.build(tmp_path / "wheels", tmp_path)
    assert (tmp_path / "wheels/wheels.txt").read_text() == wheel.as_uri() + "\n"
    zipfile.ZipFile(wheel).extractall(site)
    (distribution,) = metadata.distributions(path=[str(site)])
    for _ in range(2):  # a second time changes nothing
        editable.note(distribution, room)
        (distribution,) = metadata.distributions(path=[str(site)])
        assert [p.read_text().strip() for p in site.glob("*.pth")] == [str(room / "src")]
        note = json.loads(distribution.read_text("direct_url.json"))
        assert note == {"url": room.as_uri(), "dir_info": {"editable": True}}
        assert sorted(str(f) for f in distribution.files) == sorted(
            p.relative_to(site).as_posix() for p in site.rglob("*") if p.is_file()
        )
        for file in distribution.files:
            if file.name != "RECORD":
                found = hashlib.sha256((site / file).read_bytes()).digest()
                assert file.hash.value == base64.urlsafe_b64encode(found).rstrip(b"=").decode(), file
                assert file.size == (site / file).stat().st_size


def test_all_rooms_are_built():
    assert [r.relative_to(editable.ROOT).as_posix() for r in editable.rooms()][:2] == [
        "framework",
        "libraries/attenuators",
    ]
    assert all((r / "pyproject.toml").is_file() for r in editable.rooms())
