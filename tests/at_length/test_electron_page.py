"""What the page on electron diffraction says can be typed as it stands, and leads to what it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from spindle.cli.main import main
from spindle.execution.runner import effective_params, make_host
from spindle.files import read_experiments, read_reflections
from spindle.params import Assignment

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "electron-diffraction.md"
BLOCKS = re.findall(r"```\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
COMMANDS = [line.strip() for block in BLOCKS for line in block.splitlines() if line.strip()]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_parameter_is_one(command):
    spindle, program, *words = shlex.split(command)
    given = [word.partition("=") for word in words if "=" in word]
    assert spindle == "spindle"
    effective_params(program, [Assignment(key, value, "command line") for key, _, value in given], make_host())


@pytest.mark.long
def test_the_example_leads_to_what_the_page_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    said = {}
    for command in BLOCKS[-1].splitlines():
        words = shlex.split(command)[1:]
        assert main(words) == 0, command
        said[words[0]] = capsys.readouterr().out
    assert re.search(r"Rotation axis found: -3[45]\.\d+ degrees", said["find_rotation_axis"])
    assert re.search(r"makes the distance (449\.[5-9]|450\.[0-4])\d* mm; it was 445\.50 mm", said["index"])
    assert "The beam moves on the detector during the scan" in said["refine"]
    experiments, table = read_experiments("refined.expt"), read_reflections("refined.refl")
    assert experiments[0].crystal.cell == pytest.approx((8.1, 9.7, 13.2, 90, 101.3, 90), rel=1e-3)
    indexed = (table["miller_index"] != 0).any(axis=1)
    assert indexed.mean() > 0.98
    x, y = re.search(r"Predicted - true x, y \(px, rms\) +\| ([\d.]+) ([\d.]+)", said["check_truth"]).groups()
    assert np.hypot(float(x), float(y)) < 0.1
