"""The reference pages are what the code says, and say what the fields of every public type are."""

from __future__ import annotations

import dataclasses
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import described  # noqa: E402

from spindle.contracts import SLOTS  # noqa: E402
from spindle.plugins import registry  # noqa: E402

FOLDER = ROOT / "docs" / "reference"
MODULES = sorted({target.partition(":")[0] for target in SLOTS.values()} | {"spindle.models", "spindle.table"})


def public_dataclasses():
    for path in MODULES:
        module = importlib.import_module(path)
        for name in getattr(module, "__all__", []):
            if isinstance(getattr(module, name), type) and dataclasses.is_dataclass(getattr(module, name)):
                yield pytest.param(getattr(module, name), id=f"{path}.{name}")


def test_reference_is_what_the_code_says():
    done = subprocess.run([sys.executable, "tools/reference.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("thing", list(public_dataclasses()))
def test_every_field_of_a_public_type_is_described(thing):
    _, parts = described.sections(described.documentation(thing))
    told = {name for names, _, _ in described.entries(parts.get("Attributes", "")) for name in names}
    fields = {f.name for f in dataclasses.fields(thing) if not f.name.startswith("_")}
    assert fields <= told, f"the docstring of {thing.__name__} says nothing of {', '.join(sorted(fields - told))}"


@pytest.mark.parametrize("info", registry().infos, ids=lambda i: f"{i.slot}-{i.name}")
def test_every_installed_plugin_is_in_the_reference(info):
    if not info.distribution.startswith("spindle-"):
        pytest.skip("not of this repository")
    page, heading = ("plugins.md", f"### {info.slot} {info.name}\n")
    if info.slot == "program":
        page, heading = ("programs.md", f"## {info.name}\n")
    assert heading in (FOLDER / page).read_text(encoding="utf-8"), "run python tools/reference.py"


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("slots.md", "### BackgroundEstimate"),
        ("slots.md", "| `background` | (p,) float32, counts |"),
        ("slots.md", "### ProfileFitter"),
        ("slots.md", "`.read(index=0, out=None)` (to be written)"),
        ("tables.md", "| `xyzobs.px.value` | (n, 3) float64 | px, px, image |"),
        ("tables.md", "| `DONT_INTEGRATE` | 128 |"),
        ("models.md", "### Panel"),
        ("geometry.md", "### zeta_factor("),
        ("host.md", "### read_reflections(path)"),
        ("parameters.md", "| `glm.robust.tuning_constant` | [spindle_background_glm/algorithm.py]"),
    ],
)
def test_reference_holds_what_a_plugin_needs(page, words):
    assert words in (FOLDER / page).read_text(encoding="utf-8")


def test_docstrings_become_tables_and_blocks():
    @dataclasses.dataclass(frozen=True)
    class Sized:
        """Two sizes.

        Attributes
        ----------
        nx, ny : int, pixels
            Widths | of the
            box.
        name : str
        """

        nx: int
        ny: int
        name: str = "box"
        loose: float = 0.0

        @property
        def area(self):
            """nx * ny."""

    text = described.describe("Sized", Sized)
    assert "| `nx`, `ny` | int, pixels |  | Widths \\| of the box. |" in text
    assert "| `name` | str | `'box'` |  |" in text
    assert "| `loose` | `float` | `0.0` |  |" in text
    assert "`.area`: nx * ny." in text
    assert text.startswith("### Sized\n\nTwo sizes.\n\n| field |")
