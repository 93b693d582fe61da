"""Nothing that users can name is missing from the reference pages."""

from __future__ import annotations

from pathlib import Path

import pytest

from spindle.plugins import registry, spec_of
from spindle.plugins.loading import hooks_of

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "reference"
REMEDY = "run python tools/reference.py"


@pytest.mark.parametrize("info", registry().infos, ids=lambda i: f"{i.slot}-{i.name}")
def test_every_installed_plugin_is_in_the_reference(info):
    if not info.distribution.startswith("spindle-"):
        pytest.skip("not of this repository")
    page, heading = (
        ("programs.md", f"## {info.name}\n")
        if info.slot == "program"
        else (
            "plugins.md",
            f"### {info.slot} {info.name}\n",
        )
    )
    assert heading in (FOLDER / page).read_text(encoding="utf-8"), REMEDY


@pytest.mark.parametrize("slot", registry().slots)
def test_every_hook_is_in_the_reference(slot):
    text = (FOLDER / "slots.md").read_text(encoding="utf-8")
    assert f"## {slot}\n" in text, REMEDY
    for hook in hooks_of(spec_of(slot)):
        assert f"### {hook}(" in text, REMEDY
