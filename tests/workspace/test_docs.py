"""Pages say what programs print and what files hold, and their links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import docs  # noqa: E402

PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/*/README.md"), *ROOT.glob("libraries/*.md")]
)


def test_generated_parts_are_in_step():
    done = subprocess.run([sys.executable, "tools/docs.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_stale_part_is_replaced_and_nothing_else():
    page = "before\n<!-- begin: spindle help outlier.null -->\nold\n<!-- end -->\nafter\n"
    text = docs.filled(page)
    assert text.startswith("before\n<!-- begin: spindle help outlier.null -->\n```text\noutlier.null: ")
    assert text.endswith("```\n<!-- end -->\nafter\n") and "old" not in text
    assert docs.filled(text) == text


def test_a_file_is_quoted_as_it_is():
    name = "examples/third_party_plugin/pyproject.toml"
    text = docs.filled(f"<!-- begin: file: {name} -->\n<!-- end -->\n")
    assert f"```toml\n{(ROOT / name).read_text(encoding='utf-8').strip()}\n```\n" in text


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("<!-- begin: table: planets -->\n<!-- end -->", "no source 'table: planets'"),
        ("<!-- begin: table: slots -->\n", "has no end"),
        ("<!-- begin: spindle help no_such_thing -->\n<!-- end -->", "exit code 2"),
    ],
)
def test_what_cannot_be_filled_is_said(page, words):
    with pytest.raises(SystemExit, match=words):
        docs.filled(page)


def test_tables_name_every_slot_program_and_exit_code():
    assert "| `background` | `integration.background.algorithm` of integrate |" in docs.slots_table()
    assert "| `find_spots` | Find the spots of a sequence of images |" in docs.programs_table()
    assert "| 130 | interrupted with Ctrl-C |" in docs.exit_codes()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_lead_to_files(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), target
