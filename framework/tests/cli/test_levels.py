"""Levels of what is shown: numbers after -e and -a are the letters of -h."""

from __future__ import annotations

import pytest


def shown(spindle, *words):
    done = spindle("refine", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("words", "letters"),
    [(["-e", "0"], "-h"), (["-e", "1"], "-hh"), (["-e1"], "-hh"), (["-a", "2"], "-hhh"), (["--expert-level=2"], "-hhh"),
     (["-c", "-a", "1", "-e", "1"], "-hh")],
)  # fmt: skip
def test_a_level_is_a_number_of_letters(spindle, words, letters):
    assert shown(spindle, *words) == shown(spindle, letters)


def test_a_configuration_has_the_parameters_up_to_a_level(spindle):
    """``-c -e 1``, as tutorials type it: what -hh lists, as text that can be read again."""
    all_, low, lowest = (shown(spindle, "-c", *e) for e in ([], ["-e", "1"], ["-e", "0"]))
    assert lowest.count(" = ") < low.count(" = ") < all_.count(" = ")
    assert "reflections_per_degree" in low and "reflections_per_degree" not in lowest
    assert "engine = " not in lowest or "engine = " in low


@pytest.mark.parametrize("words", [["-e"], ["-e", "x"], ["-a", "name=1"], ["--expert-level=high"]])
def test_a_level_that_is_none_is_said(spindle, words):
    done = spindle("refine", *words)
    assert done.returncode == 2 and "needs a level" in done.stderr


def test_images_come_from_standard_input_with_the_old_option_too(spindle, tmp_path):
    done = spindle("import", "-i", stdin="nothing_there.cbf\n")
    assert done.returncode == 2 and "nothing_there.cbf" in done.stderr
