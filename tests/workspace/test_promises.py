"""The tests that the page on reliability names are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")


def test_every_promise_names_tests_that_there_are():
    page = (ROOT / "docs/explanation/reliability.md").read_text(encoding="utf-8")
    table = page.partition("## Promises and their tests\n")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 20
    for row in rows:
        promise, tests = row.strip("| ").rsplit(" | ", 1)
        named = NAMED.findall(tests)
        assert named and tests == ", ".join(f"`{file}::{name}`" for file, name in named), promise
        for file, name in named:
            assert f"\ndef {name}(" in (ROOT / file).read_text(encoding="utf-8"), f"{promise}: {file}::{name}"
