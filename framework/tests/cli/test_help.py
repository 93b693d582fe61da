"""Help pages: each group once, what is not available at -hhh, and words that are searched for."""

from __future__ import annotations

import re

import pytest

from spindle.cli import search
from spindle.cli.help import program_help
from spindle.execution.runner import effective_params, make_host
from spindle.plugins import registry


def page(name: str, level: int) -> str:
    return program_help(name, effective_params(name, [], make_host()), level)


def test_each_group_of_parameters_stands_once_and_each_page_has_an_example():
    for name in registry().names("program"):
        text = page(name, 3)
        groups = re.findall(r"^  \[(\S+)\]", text, re.MULTILINE)
        assert len(groups) == len(set(groups)), name
        assert f"\n    spindle {name}" in text, name


@pytest.mark.parametrize("name", ["integrate", "index"])
def test_what_is_not_available_is_shown_at_hhh_only(name):
    assert "not available" not in page(name, 0) + page(name, 1)
    assert "not available" in page(name, 2)


def test_a_word_is_searched_for_in_names_and_help_texts(spindle):
    done = spindle("help", "ice_rings")
    assert done.returncode == 0
    assert "integrate: integration.filter.ice_rings" in done.stdout and "generate_mask" in done.stdout
    assert done.stdout.rstrip().endswith("Next: spindle help <program or plugin>")


def test_the_name_itself_is_before_texts_that_speak_of_it(spindle):
    found = spindle("help", "d_min").stdout.partition("parameters:\n")[2].splitlines()
    names = [line.split()[1].rpartition(".")[2] for line in found if line.startswith("  ") and ": " in line]
    assert len(names) > 5 and names[:5] == ["d_min"] * 5


@pytest.mark.parametrize(
    ("word", "name", "rank"),
    [
        ("ice", "ice", 0), ("ice", "filter.ice_rings", 1), ("ice", "generate_mask", 2), ("lattice", "max_lattices", 3),
        ("ice", "max_lattices", search.INSIDE), ("gain", "max_lattices", None), ("ice-rings", "filter.ice_rings", 0),
    ],
)  # fmt: skip
def test_words_are_before_their_beginnings_and_those_before_their_middles(word, name, rank):
    assert search._rank(word, name, "rings of ice" if name == "generate_mask" else "a text") == rank


def test_a_word_that_nothing_speaks_of_is_an_error(spindle):
    done = spindle("help", "xyzzy")
    assert done.returncode == 2 and "'xyzzy'" in done.stderr and "no help text" in done.stderr
