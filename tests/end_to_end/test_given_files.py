"""`spindle process` takes up the experiments and reflections that a user hands over, at the step that reads them."""

from __future__ import annotations

import json
import shutil

import pytest

from spindle.cli.main import main

PAIRS = {
    "index": ("imported.expt", "strong.refl"),
    "refine": ("indexed.expt", "indexed.refl"),
    "symmetry": ("integrated.expt", "integrated.refl"),
    "merge": ("scaled.expt", "scaled.refl"),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("step", PAIRS)
def test_the_step_that_reads_them_is_the_first(run_files, folder, capsys, step):
    files = [str(run_files / name) for name in PAIRS[step]]
    assert main(["process", *files, f"stop_after={step}"]) == 0
    assert f"Starting at {step}, the step that takes the reflections" in capsys.readouterr().out
    assert list(json.loads((folder / "process.json").read_text())["steps"]) == [step]
    record = json.loads((folder / f"spindle.{step}.json").read_text())
    assert [entry["path"] for entry in record["inputs"]] == files  # a replay reads the same
    assert main(["process", *files, f"stop_after={step}", "resume=True"]) == 0
    assert "nothing has changed since" in capsys.readouterr().out


def test_what_comes_after_reads_what_the_run_has_made(run_files, folder):
    shutil.copy(run_files / "refined.refl", folder)  # of an earlier run, which has no part in this one
    files = [str(run_files / name) for name in PAIRS["symmetry"]]
    assert main(["process", *files, "stop_after=scale", "output.report=None"]) == 0
    assert list(json.loads((folder / "process.json").read_text())["steps"]) == ["symmetry", "scale"]
    record = json.loads((folder / "spindle.scale.json").read_text())
    assert [entry["path"] for entry in record["inputs"]] == ["symmetrized.expt", "symmetrized.refl"]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["strong.refl"], "strong.refl was given without its experiments; give the .expt file"),
        (["imported.expt", "strong.refl", "indexed.refl"], "one of 2 reflection files"),
    ],
)
def test_what_cannot_be_taken_up_is_said(run_files, folder, capsys, names, said):
    assert main(["process", *(str(run_files / name) for name in names)]) == 2
    assert said in capsys.readouterr().err
