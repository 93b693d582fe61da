"""Parameters in languages that are not read are said, not lost."""

from __future__ import annotations

import pytest

from spindle.cli.main import main
from spindle_lib_readers.testing.mini_cbf import write_sweep


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.yaml", "geometry:\n  beam:\n    wavelength: 0.9\n"),
        ("x.yml", "# mine\ngeometry.detector.distance: 200  # mm\nwavelength: 1.1\n"),
        ("x.json", '{\n  "geometry": {\n    "beam": {\n      "wavelength": 0.9\n    }\n  }\n}\n'),
        ("x.ini", "[beam]\nwavelength = 0.9\n"),
    ],
)
@pytest.mark.parametrize("program", ["import", "process"])
def test_parameters_in_another_language_are_refused_with_the_remedy(program, name, text, here, capsys):
    write_sweep(here, 2)
    (here / name).write_text(text)
    assert main([program, "t_0001.cbf", "t_0002.cbf", name]) == 2
    message = capsys.readouterr().err
    assert f"{name} holds parameters (" in message and "write them as TOML (x.toml" in message


def test_other_files_of_these_names_beside_images_are_no_parameters(here):
    paths = [str(p) for p in write_sweep(here, 2)]
    (here / "calibration.yml").write_text("beam:\n  energy: 65.3\n  vector:\n    azimuth: 90.0\nid: instrument\n")
    (here / "notes.json").write_text('{"crystal": "lysozyme", "collected": "yesterday"}')
    assert main(["import", *paths, "calibration.yml", "notes.json"]) == 0
