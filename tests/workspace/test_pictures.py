"""Pictures of the pages are small, are shown, and are what the command beside them draws."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spindle.execution.runner import effective_params, make_host
from spindle.params import Assignment
from spindle.plugins import registry

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import pictures  # noqa: E402

FILES = sorted(pictures.IMAGES.glob("*"))
#: Drawn by hand in the viewers, or before there was a command; the page says how.
BY_HAND = {"recovered_against_true", "rs-mapper-0kl", "viewer-lattice", "viewer-mask", "viewer-reflections"}


def test_pictures_are_small_and_shown():
    pages = "".join(p.read_text(encoding="utf-8") for p in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
    assert {f.stem for f in FILES} == {p.name for p in pictures.PICTURES} | BY_HAND
    assert all(f"images/{f.name})" in pages for f in FILES)
    assert all(f.stat().st_size < 62_000 for f in FILES) and sum(f.stat().st_size for f in FILES) < 700_000


@pytest.mark.parametrize("picture", pictures.PICTURES, ids=lambda p: p.name)
def test_the_command_of_a_picture_stands_on_its_page_and_can_be_typed(picture):
    page = (ROOT / "docs" / picture.page).read_text(encoding="utf-8")
    assert f"images/{picture.name}.png)" in page and picture.draw in page
    host = make_host()
    for command in picture.commands:
        first, name, *words = shlex.split(command)
        if first == "python":
            assert (ROOT / name).is_file()
            continue
        if registry().load("program", name).takes_words:  # as batch, of parameters of other programs
            continue
        given = [Assignment(*word.partition("=")[::2], command) for word in words if "=" in word]
        effective_params(name, given, host)


def test_pages_tell_what_is_seen():
    """Text in place of a picture, for those who do not see it."""
    for page in ROOT.glob("docs/**/*.md"):
        for told in re.findall(r"!\[(.*?)\]\(", page.read_text(encoding="utf-8")):
            assert len(told) > 20, page


def same(made: Path, kept: Path) -> float:
    """Part of the pixels that differ clearly, or 1 where the sizes do."""
    a, b = (Image.open(path).convert("L") for path in (made, kept))
    return float(np.mean(np.abs(np.asarray(a, int) - np.asarray(b, int)) > 64)) if a.size == b.size else 1.0


@pytest.mark.parametrize(
    "picture",
    [
        p if p.name == "quartz-axes" else pytest.param(p, marks=pytest.mark.long)
        for p in pictures.PICTURES
        if not pictures.is_page(p.made) or pictures.browser()
    ],
    ids=lambda p: p.name,
)
def test_a_picture_is_made_again(picture, tmp_path):
    pictures.make(picture, tmp_path / "work", tmp_path / "made.png")
    # letters and lines of other versions of matplotlib and of browsers lie a little elsewhere
    assert same(tmp_path / "made.png", pictures.IMAGES / f"{picture.name}.png") < 0.05
    assert os.path.getsize(tmp_path / "made.png") < 62_000
