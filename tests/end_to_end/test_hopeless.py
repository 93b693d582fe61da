"""Data from which nothing can come: the chain ends red, in words and in process.json, never with a file to solve a structure from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spindle.cli.main import main
from spindle_lib_verdict import COLOURS

SMALL = [
    "detector.model=custom", "image_size=300,320", "distance=35", "wavelength=0.7", "structure.d_min=1", "b_factor=4", "mosaic_spread=0.08",
    "unit_cell=11,13,17,90,90,90", "space_group=P 21 21 21", "n_images=12",
]  # fmt: skip


def simulated(folder, *words):
    """Images of a small detector; their paths."""
    assert main(["simulate", f"output.directory={folder}", f"output.log={folder}.log", *SMALL, *words]) == 0
    return [str(path) for path in sorted(folder.glob("*.cbf"))]


def verdict_of(capsys):
    """The verdict of process.json, which has to be that on the screen, and what stands after ``Next:``."""
    content = json.loads(Path("process.json").read_text())
    shown = capsys.readouterr().out
    assert f"Verdict: {content['verdict']['colour']}" in shown
    assert content["verdict"]["colour"] in COLOURS
    following = [line for line in shown.splitlines() if line.startswith("Next:")]
    return content, following[-1] if following else ""


def test_blank_images_end_red(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    images = simulated(tmp_path / "blank", "mean_counts=0")
    assert main(["process", *images]) == 2
    content, _ = verdict_of(capsys)
    assert content["verdict"]["colour"] == "red" and content["failed"]
    assert content["verdict"]["lines"][0]["topic"] == "run" and "export_bitmaps" in content["verdict"]["next"]
    assert not (tmp_path / "merged.mtz").exists()


def test_powder_rings_end_red(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    images = simulated(tmp_path / "powder", "mean_counts=0", "background.ice=40")
    assert main(["process", *images]) == 2
    content, _ = verdict_of(capsys)
    assert content["verdict"]["colour"] == "red" and set(content["steps"]) <= {"import", "find_spots", "index"}


@pytest.mark.parametrize("fail_if", ["red", "None"])
def test_a_pipeline_can_ask_for_an_exit_code(tmp_path, monkeypatch, capsys, fail_if):
    """Verdicts of a chain that comes to its end do not end it, unless they are asked to; here the steps' records are made red."""
    monkeypatch.chdir(tmp_path)
    images = simulated(tmp_path / "few", "mean_counts=600", "n_images=4")
    assert main(["process", *images, "stop_after=find_spots"]) == 0
    record = json.loads((tmp_path / "spindle.find_spots.json").read_text())
    record["summary"]["ice_fraction"] = 0.8
    (tmp_path / "spindle.find_spots.json").write_text(json.dumps(record))
    capsys.readouterr()
    code = main(["process", "resume=True", "stop_after=find_spots", f"fail_if={fail_if}"])
    content, following = verdict_of(capsys)
    assert content["verdict"]["colour"] == "red" and "80 % of the spots are of ice" in following
    assert code == (3 if fail_if == "red" else 0)
