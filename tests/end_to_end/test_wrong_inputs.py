"""Files that a program does not read, or not of this step, end in one message that names them, before anything is written."""

from __future__ import annotations

import inspect
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from spindle.cli.main import main
from spindle.plugins import registry
from spindle.plugins.host import PluginHost

READERS = (
    "index",
    "refine",
    "integrate",
    "symmetry",
    "scale",
    "merge",
    "search_beam_position",
    "find_rotation_axis",
    "spot_counts_per_image",
)
KINDS = ("merged.mtz", "x.cbf", "mask.npz", "x.yaml", "folder", "empty.refl", "empty.expt", "x.txt", "no_such.refl")
# What cannot be meant: the experiments and reflections of steps that come later or earlier than what the program reads.
WRONG_STEPS = {
    "index": ["imported.expt", "imported.expt strong.refl imported.expt"],
    "refine": ["imported.expt strong.refl", "indexed.expt", "indexed.expt strong.refl", "indexed.expt integrated.refl"],
    "integrate": ["imported.expt strong.refl", "refined.expt strong.refl", "refined.refl", "imported.expt refined.refl"],
    "symmetry": ["integrated.expt", "integrated.expt strong.refl", "integrated.expt indexed.refl", "imported.expt integrated.refl"],
    "scale": ["symmetrized.refl", "symmetrized.expt strong.refl", "symmetrized.expt indexed.refl", "imported.expt symmetrized.refl"],
    "merge": ["scaled.expt", "scaled.expt strong.refl", "scaled.expt indexed.refl", "imported.expt scaled.refl"],
    "export": ["scaled.expt", "scaled.refl", "scaled.expt strong.refl", "imported.expt scaled.refl"],
    "find_spots": ["strong.refl", "no_such.expt"],
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(run_files, tmp_path_factory):
    """The files of every step, and some that no step reads."""
    folder = tmp_path_factory.mktemp("wrong")
    for file in [*run_files.glob("*.expt"), *run_files.glob("*.refl")]:
        shutil.copy(file, folder)
    shutil.copy(next((run_files / "images").glob("*.cbf")), folder / "x.cbf")
    np.savez(folder / "mask.npz", panel_0=np.ones((4, 5), bool))
    (folder / "folder").mkdir()
    for name, text in (
        ("merged.mtz", "MTZ "),
        ("x.yaml", "a: 1\n"),
        ("x.txt", "x\n"),
        ("empty.refl", ""),
        ("empty.expt", ""),
    ):
        (folder / name).write_text(text)
    return folder


def refused(folder, monkeypatch, capsys, *words) -> str:
    """The message with which a command ends; nothing is written but logs."""
    monkeypatch.chdir(folder)
    before = sorted(p.name for p in folder.iterdir() if not p.name.endswith(".log"))
    assert main(list(words)) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ") and "Traceback" not in message and len(message) < 700
    after = sorted(p.name for p in folder.iterdir() if not p.name.endswith(".log"))
    assert after == before
    return message


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("program", READERS)
def test_a_file_of_another_kind_is_named(folder, monkeypatch, capsys, program, kind):
    message = refused(folder, monkeypatch, capsys, program, "scaled.expt", "scaled.refl", kind)
    assert kind in message


@pytest.mark.parametrize(("program", "words"), [(p, w) for p, cases in WRONG_STEPS.items() for w in cases])
def test_files_of_another_step_are_refused(folder, monkeypatch, capsys, program, words):
    refused(folder, monkeypatch, capsys, program, *words.split())


@pytest.mark.parametrize("name", [i.name for i in registry().infos if i.slot == "program"])
def test_a_program_that_takes_files_looks_at_them(name):
    """One that does not says so (takes_files = False), and the host refuses what it would have ignored."""
    program = PluginHost().load("program", name)
    package = Path(inspect.getfile(program)).parent
    looks = any(re.search(r"inputs\.files\b|experiments_of\(", file.read_text()) for file in package.glob("*.py"))
    assert looks == program.takes_files


@pytest.mark.parametrize("name", ["indexed", "refined"])
def test_integrate_refuses_scans_of_width_0(folder, monkeypatch, capsys, name):
    """Images that were not rotated, alone or beside others, end in a sentence that says which and what to do."""
    content = json.loads((folder / f"{name}.expt").read_text())
    (scan,) = content["scan"]
    assert scan["oscillation"][1] == 0.5
    still = {**scan, "oscillation": [scan["oscillation"][0], 0.0]}
    for n_before in (0, 1):
        first = content["experiment"][0]
        both = [{**first, "scan": i, "identifier": f"{i}"} for i in range(n_before + 1)]
        scans = [scan] * n_before + [still]
        (folder / "still.expt").write_text(json.dumps({**content, "scan": scans, "experiment": both}))
        message = refused(folder, monkeypatch, capsys, "integrate", "still.expt", "create_profile_model=False")
        assert f"experiment {n_before} is a still" in message
        assert "import them with geometry.scan.oscillation=" in message
        assert len(message.strip().splitlines()) == 1 and ". " not in message
        (folder / "still.expt").unlink()
