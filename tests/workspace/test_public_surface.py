"""Plugins, formats and libraries use of the host only what it declares, as anybody's plugin could."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import workspace

ROOT = Path(__file__).parent.parent.parent
ROOMS = [d for d in workspace.distributions(ROOT) if d.folder != "framework"]


def imports(source: str) -> Iterator[tuple[str, str]]:
    """Yield (module, name) of what a file imports of the host, for type checkers too; the name is empty for a module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "spindle":
            yield from ((node.module or "", alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((a.name, "") for a in node.names if a.name.partition(".")[0] == "spindle")


def is_public(module: str, name: str) -> bool:
    """Whether the host declares a name in a public module."""
    first, _, inner = module.removeprefix("spindle").strip(".").partition(".")
    if first and (first not in workspace.PUBLIC or (inner and first not in workspace.PUBLIC_INSIDE)):
        return False
    return not name or name in importlib.import_module(module).__all__


@pytest.mark.parametrize("room", ROOMS, ids=lambda d: d.name)
def test_rooms_import_only_what_the_host_declares(room) -> None:
    wrong = {
        f"{path.relative_to(ROOT)}: {module}.{name}".rstrip(".")
        for path in (ROOT / room.folder / "src").rglob("*.py")
        for module, name in imports(path.read_text(encoding="utf-8"))
        if not is_public(module, name)
    }
    assert not wrong, "import a public name instead, or declare it in __all__ of its package"


def test_public_packages_have_what_they_declare() -> None:
    for package in sorted(workspace.PUBLIC):
        module = importlib.import_module(f"spindle.{package}")
        missing = [name for name in module.__all__ if not hasattr(module, name)]
        assert not missing, f"spindle.{package} declares {missing}"


@pytest.mark.parametrize(
    ("source", "public"),
    [
        ("from spindle.params import Float", True),
        ("from spindle.contracts.background import BackgroundEstimate", True),
        ("import spindle", True),
        ("from spindle import Session", True),
        ("from spindle.params.tree import walk", False),
        ("from spindle.params import traitlets", False),
        ("from spindle.plugins import registry", False),
        ("import spindle.cli.main", False),
    ],
)
def test_the_search_tells_public_names(source: str, public: bool) -> None:
    assert all(is_public(module, name) for module, name in imports(source)) is public
