"""A program that sets the parameters of others gets their settings in one parameter, and files unread."""

from __future__ import annotations

import pytest

from spindle.cli.arguments import parse_arguments
from spindle.errors import UserError


def parsed(*words):
    return parse_arguments("compare", words, lambda name: name == "n_shells", "vary")


def test_settings_of_others_are_collected_and_its_own_are_not(tmp_path):
    files = [tmp_path / name for name in ("x.expt", "x.refl", "runs.toml", "image=1.cbf")]
    for path in files:
        path.write_text("")
    found = parsed("background.algorithm=glm,simple", "n_shells=3", *map(str, files), "-v")
    assert [(a.key, a.value) for a in found.assignments] == [
        ("vary", "background.algorithm=glm,simple"),
        ("n_shells", "3"),
    ]
    assert found.files == files and not found.experiments and not found.reflections and not found.parameter_files
    assert found.options == {"verbose"}


def test_a_name_that_is_no_file_is_refused():
    with pytest.raises(UserError, match="neither an existing file nor name=value"):
        parsed("none.refl")
