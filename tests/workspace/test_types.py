"""Types of every room are checked; the rooms that are not clean yet are named, and become fewer."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]
PACKAGES = {p.parent.name: p.parent for p in ROOT.glob("*/**/src/*/__init__.py") if ".venv" not in p.parts}
# Nothing is ever added here: a new room is clean from its first day.
NOT_CLEAN_YET = {}


def modules(**settings) -> list[str]:
    """Return the modules of the overrides with these settings."""
    return [
        module
        for override in SETTINGS["overrides"]
        if settings.items() <= override.items()
        for module in override["module"]
    ]


def test_only_the_named_rooms_may_have_errors():
    assert set(modules(ignore_errors=True)) <= {f"{name}.*" for name in NOT_CLEAN_YET}


@pytest.mark.parametrize("folder", ["framework", "libraries/ice", "formats/cbf", "plugins/background/glm"])
def test_every_kind_of_room_is_checked_strictly(folder):
    assert SETTINGS["strict"] is True
    assert any((ROOT / folder / "src") in set(ROOT.glob(pattern)) for pattern in SETTINGS["files"])


@pytest.mark.parametrize("module", [m for m in modules() if m.startswith("spindle")])
def test_settings_name_modules_that_exist(module):
    package, *rest = module.removesuffix(".*").split(".")
    path = PACKAGES[package].joinpath(*rest)
    assert path.is_dir() or path.with_suffix(".py").exists()


@pytest.mark.parametrize(
    "module", [m for m in modules(disallow_untyped_defs=False) if m.startswith("spindle_") and ".testing" not in m]
)
def test_untyped_functions_are_kernels(module):
    package, *rest = module.removesuffix(".*").split(".")
    path = PACKAGES[package].joinpath(*rest)
    files = path.rglob("*.py") if path.is_dir() else [path.with_suffix(".py")]
    assert any("njit" in f.read_text(encoding="utf-8") for f in files)
