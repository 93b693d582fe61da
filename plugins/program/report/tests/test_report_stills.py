"""Stills have no rotation angles: nothing of the page is about them."""

from __future__ import annotations

import json
from pathlib import Path

import spindle
from spindle.files import read_experiments, read_reflections
from spindle.testing.data import shared_data


def test_stills_of_dials_have_no_differences_along_a_rotation(tmp_path: Path):
    folder = shared_data("dials_processed/ssx_CuNiR_test_data")
    experiments, table = read_experiments(folder / "integrated.expt"), read_reflections(folder / "integrated.refl")
    result = spindle.run("report", experiments, [table], **{"output.json": "r.json", "output.html": None, "images": 0})
    result.files["r.json"](tmp_path / "r.json")
    section = json.loads((tmp_path / "r.json").read_text())["centroid"]
    headers = section["tables"]["residuals"]["headers"]
    assert "RMSD x (px)" in headers and not any("z" in h or "phi" in h for h in headers[1:])
    assert section["centroid_difference_histogram"]["layout"]["xaxis"]["title"]["text"] == "px"
