"""Data that come to merged intensities, or nearly so, and are worth nothing: none of them ends green."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spindle.cli.main import main
from spindle.testing import shared_data

SMALL = [
    "detector.model=custom", "image_size=300,320", "distance=35", "wavelength=0.7", "structure.d_min=1", "b_factor=4", "mosaic_spread=0.08",
    "unit_cell=11,13,17,90,90,90", "space_group=P 21 21 21", "n_images=30",
]  # fmt: skip


def verdict_of(images, *words):
    """Exit code and verdict of a run."""
    code = main(["process", *map(str, images), *words])
    return code, json.loads(Path("process.json").read_text())["verdict"]


def simulated(folder, *words):
    assert main(["simulate", f"output.directory={folder}", *SMALL, *words]) == 0
    return sorted(folder.glob("*.cbf"))


@pytest.mark.parametrize(
    ("words", "more"),
    [
        (["mean_counts=600"], ["import.geometry.goniometer.axis=0,1,0"]),
        (["mean_counts=600", "beam.drift=8"], []),
        (["mean_counts=1"], []),
        (["mean_counts=3", "background.ice=40"], []),
    ],
    ids=["a wrong axis", "a moving stage", "hardly a spot", "ice and hardly a spot"],
)
def test_simulated(tmp_path, monkeypatch, words, more):
    monkeypatch.chdir(tmp_path)
    code, verdict = verdict_of(simulated(tmp_path / "images", *words), *more)
    assert code in (0, 2) and verdict["colour"] == "red"
    assert all(line["next_step"] for line in verdict["lines"] if line["colour"] == "red")


def test_an_inverted_axis_is_named_and_not_taken_for_several_crystals(tmp_path, monkeypatch):
    """About the inverted axis the lattice fits a few degrees of the rotation at a time, each time turned."""
    monkeypatch.chdir(tmp_path)
    images = simulated(tmp_path / "images", "mean_counts=600", "n_images=24", "seed=101")
    _, verdict = verdict_of(images, "import.geometry.goniometer.axis=-1,0,0")
    assert verdict["colour"] == "red" and "invert_rotation_axis=True" in verdict["lines"][0]["said"]
    assert not any("further one" in line["said"] for line in verdict["lines"])


@pytest.mark.parametrize("width", ["0.5", "2"])
def test_a_wrong_width_of_the_images_is_named(tmp_path, monkeypatch, width):
    monkeypatch.chdir(tmp_path)
    images = simulated(tmp_path / "images", "mean_counts=600", "seed=1")
    code, verdict = verdict_of(images, f"import.geometry.scan.oscillation=0,{width}")
    assert code == 2 and verdict["colour"] == "red"
    assert "Import again with geometry.scan.oscillation=0,1" in verdict["lines"][0]["said"]


@pytest.mark.parametrize("is_empty", [False, True], ids=["cut images", "empty files"])
def test_images_of_which_half_cannot_be_read(tmp_path, monkeypatch, is_empty):
    monkeypatch.chdir(tmp_path)
    images = simulated(tmp_path / "images", "mean_counts=600", "n_images=10")
    for path in images[5:]:
        path.write_bytes(b"" if is_empty else path.read_bytes()[:-20_000])
    _, verdict = verdict_of(images)
    assert verdict["colour"] == "red" and any("cannot be read" in line["said"] for line in verdict["lines"])


@pytest.mark.parametrize(
    "words",
    [
        pytest.param([], id="as stills"),
        pytest.param(["import.geometry.scan.oscillation=0,1"], id="as one sweep", marks=pytest.mark.long),
    ],
)
def test_the_nuclease_images(tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    images = sorted(shared_data("nuclease").glob("*.bz2"))
    _, verdict = verdict_of(images, *words)
    assert verdict["colour"] != "green"
