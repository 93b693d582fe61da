"""The commands of tutorials, run one after the other as they stand, and the columns of what they print in the glossary."""

from __future__ import annotations

import glob
import re
import shlex
from pathlib import Path

import pytest

from spindle.cli.main import main
from spindle.testing import shared_data

ROOT = Path(__file__).resolve().parents[2]


def first_block(page: str) -> list[list[str]]:
    """Words of the commands of the first block of a page that has several."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    blocks = [b.strip().splitlines() for b in re.findall(r"^```\n(.*?)^```", text, re.DOTALL | re.MULTILINE)]
    (commands,) = [block for block in blocks if len(block) > 3][:1]
    return [shlex.split(line)[1:] for line in commands]


def run(commands: list[list[str]]) -> None:
    for words in commands:
        files = [found for word in words for found in (sorted(glob.glob(word)) if "*" in word else [word])]
        assert main(files) == 0, words


def columns(logs: list[Path]) -> set[str]:
    """Headers of all tables in logs, lines of one header joined."""
    found = set()
    for log in logs:
        for block in re.findall(r"^\+[-+]+\+\n((?:\|.*\n)+)\+[=+]+\+$", log.read_text(), re.MULTILINE):
            lines = [line.strip("|").split("|") for line in block.strip().splitlines()]
            found |= {" ".join(" ".join(part.strip() for part in parts).split()) for parts in zip(*lines, strict=True)}
    return found - {""}


@pytest.mark.long
def test_several_lattices_and_the_glossary(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(first_block("tutorial/several-lattices.md"))
    commands = "integrate refined.expt refined.refl,symmetry integrated.expt integrated.refl"
    commands += ",scale symmetrized.expt symmetrized.refl,merge scaled.expt scaled.refl,export scaled.expt scaled.refl"
    run([command.split() for command in commands.split(",")])
    steps = ("import", "find_spots", "index", "refine", "integrate", "symmetry", "scale", "merge", "export")
    glossary = (ROOT / "docs" / "reference" / "glossary.md").read_text(encoding="utf-8")
    known = set(re.findall(r"`([^`\n]+)`", glossary)) | {"glm", "radial", "simple", "gmodel"}
    missing = columns([tmp_path / f"spindle.{step}.log" for step in steps]) - known
    assert not missing


def test_quartz(tmp_path, monkeypatch, capsys):
    data = shared_data("dials_processed/quartz_processed")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quartz_processed").symlink_to(data)
    run(first_block("tutorial/quartz.md"))
    out = capsys.readouterr().out
    assert "Space group P 3 2 1" in out and re.search(r"1[45]\d\d observations", out)


def test_from_python(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["simulate", "n_images=20"]) == 0
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    import draw_spots
    import from_python

    assert (
        draw_spots.main(sorted(glob.glob("simulated/*.cbf"))[:5]) > 100
        and (tmp_path / "spots.png").stat().st_size > 5000
    )
    found = from_python.main(sorted(glob.glob("simulated/*.cbf")))
    assert any(abs(found["a"] - edge) < 0.6 for edge in (37.9, 78.9))
    assert found["indexed"] > 0.8
