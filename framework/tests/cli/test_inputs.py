"""Experiments and reflections on the command line."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spindle.execution.outputs import complete_step, look_at
from spindle.files import write_experiments, write_reflections
from spindle.models import Experiments
from spindle.table import ReflectionTable
from spindle.testing.scaling import scan_experiment


@pytest.fixture
def files(tmp_path):
    """One experiment, its spots, and the spots of another."""
    experiment = replace(scan_experiment(), identifier="mine")
    write_experiments(Experiments([experiment]), tmp_path / "a.expt")
    for name, identifier in (("a.refl", "mine"), ("b.refl", "other")):
        table = ReflectionTable({"id": np.zeros(2, np.int32)}, identifiers={0: identifier})
        write_reflections(table, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ["a.expt", "a.refl"],
        ["input.experiments=a.expt", "input.reflections=a.refl"],
        ["input.experiments=*.expt", "input.reflections='a.refl'"],
        ["run.phil"],
        ["run.toml"],
    ],
)
def test_inputs_have_names_too(spindle, files, words):
    (files / "run.phil").write_text('input {\n experiments = "a.expt"\n reflections = a.refl\n}\n')
    (files / "run.toml").write_text("[input]\nexperiments = ['a.expt']\nreflections = 'a.refl'\n")
    done = spindle("trial", *words)
    assert (done.returncode, done.stderr) == (0, "")
    record = json.loads((files / "spindle.trial.json").read_text())
    assert [Path(entry["path"]).name for entry in record["inputs"]] == ["a.expt", "a.refl"]


@pytest.mark.parametrize("kind", ["experiments", "reflections"])
def test_a_name_that_may_be_input_or_output_is_refused(spindle, files, kind):
    done = spindle("trial", f"{kind}=a.expt")
    assert done.returncode == 2
    assert f"write input.{kind}= for a file to read, or output.{kind}= for the file to write" in done.stderr


def test_inputs_that_are_not_there_are_errors(spindle, files):
    assert "'c.expt' is neither an existing file" in spindle("trial", "input.experiments=c.expt").stderr


@pytest.mark.parametrize("words", [["a.expt", "./a.expt"], ["a.expt", "*.refl", "b.refl"]])
def test_nothing_is_read_twice(spindle, files, words):
    done = spindle("trial", *words)
    assert done.returncode == 2
    assert "is given twice" in done.stderr


def test_reflections_of_other_experiments_are_said(spindle, files):
    assert "belongs to other experiments" not in spindle("trial", "a.expt", "a.refl").stdout
    assert "Warning: b.refl belongs to other experiments than those of a.expt" in (
        spindle("trial", "a.expt", "b.refl").stdout
    )


def test_the_next_step_can_be_pasted():
    given = {"experiments": [Path("my data.expt")], "reflections": [], "images": [Path(f"{k}.cbf") for k in range(9)]}
    step = "spindle x <experiments> <reflections> <images> to a b.expt c.refl"
    assert complete_step(step, [Path("a b.expt"), Path("c.refl")], given) == (
        "spindle x 'my data.expt' <reflections> <images> to 'a b.expt' c.refl"
    )
    assert complete_step("spindle x my data.expt", [], given) == "spindle x 'my data.expt'"


def test_names_are_no_commands_to_a_terminal(spindle, tmp_path):
    name = "a\x1b]0;title\x07\nerror: forged.txt"
    (tmp_path / name).write_text("x")
    for words in ([name], [f"{name}x"], ["*"]):
        done = spindle("trial", *words)
        shown = done.stdout + done.stderr
        assert "\x1b" not in shown and "\x07" not in shown and "\nerror: forged" not in shown
    assert spindle("trial", name).returncode == 2


def test_a_page_or_a_picture_is_opened_where_a_program_names_nothing_else():
    assert look_at([Path("a.json"), Path("b.svg"), Path("c.PNG"), Path("d.html"), Path("e.html")]) == "open d.html"
    assert look_at([Path("a.json"), Path("b.svg")]) == "open b.svg"
    assert look_at([Path("a.json"), Path("a.mtz")]) == look_at([]) == ""


@pytest.mark.skipif(sys.platform != "linux", reason="files with holes")
def test_a_file_that_is_too_large_is_refused_before_it_is_hashed(spindle, tmp_path):
    (tmp_path / "a.expt").write_bytes(b"{")
    os.truncate(tmp_path / "a.expt", 1 << 40)
    done = spindle("trial", "a.expt")  # a tebibyte takes hours
    assert done.returncode == 2 and "a.expt: size of the file" in done.stderr
