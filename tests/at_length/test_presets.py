"""Small molecules from X-rays and electrons in one command: the space group that was simulated, and input for SHELX."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from spindle.cli.main import main

CRYSTAL = ["unit_cell=8.1,9.7,13.2,90,101.3,90", "space_group=P 1 21/c 1", "b_factor=3", "structure.d_min=0.9"]
X_RAYS = ["detector.model=custom", "image_size=300,320", "distance=35", "wavelength=0.7", "mean_counts=900", "mosaic_spread=0.08",
          "n_images=100", "oscillation=1"]  # fmt: skip
ELECTRONS = [
    "wavelength=0.0251", "model=custom", "modules=1,1", "image_size=400,400", "pixel_size=0.055", "distance=450", "divergence=0.001",
    "mosaic_spread=0.1", "start=-40", "n_images=80", "crystal.size=0.001,0.001,0.001", "solvent=0",
]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "preset"), [(X_RAYS, "small_molecule"), (ELECTRONS, "electron")], ids=["X-rays", "electrons"]
)
def test_a_small_molecule_comes_out_as_input_for_shelx(tmp_path, monkeypatch, capsys, words, preset):
    monkeypatch.chdir(tmp_path)
    assert main(["simulate", *CRYSTAL, *words]) == 0
    images = sorted(map(str, Path("simulated").glob("*.cbf")))
    assert (
        main(["process", *images, f"{preset}=True", "composition=C8H9NO2", "output.directory=out", "fail_if=red"]) == 0
    )
    shown = capsys.readouterr().out
    assert f"{preset}=True sets filter.d_max, " in shown and "spindle.hkl" in shown.splitlines()[-1]
    instructions = Path("out/spindle.ins").read_text()
    assert "SYMM -X,Y+1/2,-Z+1/2" in instructions and "LATT 1" in instructions and "SFAC C H N O" in instructions
    cell = [float(v) for v in instructions.split("CELL")[1].split("\n")[0].split()[1:]]
    np.testing.assert_allclose(cell, [8.1, 9.7, 13.2, 90, 101.3, 90], rtol=2e-3)
    content = json.loads(Path("out/process.json").read_text())
    assert content["facts"]["space_group"] == "P 1 21/c 1" and content["verdict"]["colour"] in ("green", "amber")
