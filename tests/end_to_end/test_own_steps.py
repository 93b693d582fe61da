"""A program of somebody else as a step of `spindle process`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from spindle.cli.main import main
from spindle.files import read_experiments
from spindle.plugins import refresh

TESTS = Path(__file__).resolve().parent.parent
STEPS = ["start_at=symmetry", "symmetry_program=triclinic", "symmetry.label=asked for"]


@pytest.fixture
def folder(tmp_path, monkeypatch, run_files):
    for name in ("imported.expt", "refined.refl", "integrated.expt", "integrated.refl"):
        shutil.copy(run_files / name, tmp_path)
    monkeypatch.syspath_prepend(str(TESTS / "trial_plugins"))
    monkeypatch.chdir(tmp_path)
    refresh()
    yield tmp_path
    monkeypatch.undo()
    refresh()


def test_the_chain_goes_on_from_what_another_program_returns(folder):
    assert main(["process", *STEPS]) == 0
    assert {e.crystal.space_group.hm for e in read_experiments(folder / "triclinic.expt")} == {"P 1"}
    assert {e.crystal.space_group.hm for e in read_experiments(folder / "scaled.expt")} == {"P 1"}
    assert not (folder / "symmetrized.expt").exists()
    assert json.loads((folder / "process.json").read_text())["steps"]["symmetry"]["why"] == "asked for"
    record = json.loads((folder / "spindle.symmetry.json").read_text())
    assert record["program"] == "triclinic"


def test_what_it_has_made_stands_when_the_run_goes_on(folder, capsys):
    assert main(["process", *STEPS, "stop_after=symmetry"]) == 0
    assert main(["process", "start_at=scale", *STEPS[1:]]) == 0
    assert {e.crystal.space_group.hm for e in read_experiments(folder / "scaled.expt")} == {"P 1"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["symmetry_program=triclinic", "symmetry.laue_group=P m m m"], "symmetry.laue_group is not a parameter"),
        (["symmetry_program=triclinical"], "there is no program 'triclinical'"),
        (["symmetry.label=x"], "symmetry.label is not a parameter"),
        (["find_spots_program=trial", "watch=True", "x.cbf"], "watch"),
    ],
)
def test_wrong_choices_are_said(folder, capsys, words, said):
    (folder / "x.cbf").write_bytes(b"")
    assert main(["process", "start_at=symmetry", *words]) == 2
    assert said in capsys.readouterr().err
