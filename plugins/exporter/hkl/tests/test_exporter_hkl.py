"""The exporter passes the contract of its slot; its lists are read back by columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import spindle
from spindle.errors import UserError
from spindle.testing.exporter import ExporterContract, ReadBack, integrated_data, telling_data


class TestHklExporter(ExporterContract):
    name = "hkl"

    def read_back(self, paths: list[Path]) -> ReadBack:
        rows = np.genfromtxt(paths[0], delimiter=(5, 5, 5, 15, 15), ndmin=2).reshape(-1, 5)
        return ReadBack(rows[:, :3].astype(int), rows[:, 3], rows[:, 4])


def exported(tmp_path, experiments, table, **params):
    result = spindle.run("export", experiments, table, format="hkl", **params)
    paths = {}
    for name, writer in result.files.items():
        paths[name] = tmp_path / name
        writer(paths[name])
    return paths


def test_merged_lists_have_each_reflection_once_with_friedel_mates_apart(tmp_path):
    """P 4: h k l and -k h l are one, -h -k -l is another; equal weights give the plain mean."""
    experiments, table = telling_data()
    rows = np.loadtxt(exported(tmp_path, experiments, table, merge=True)["spindle.hkl"])
    assert len({tuple(r) for r in rows[:, :3]}) == len(rows)
    with pytest.raises(UserError, match="spindle scale"):
        exported(tmp_path, experiments, table, merge=True, intensity="sum")


def test_sir_gets_its_commands(tmp_path):
    experiments, table = integrated_data()
    paths = exported(tmp_path, experiments, table, commands="sir", content="C 20 N 4")
    text = paths["spindle.sir"].read_text()
    for line in (
        "Cell 60.0000 60.0000 40.0000",
        "SpaceGroup P 4",
        "Content C 20 N 4",
        "Reflections spindle.hkl",
        "FoSquare",
    ):
        assert line in text
    assert "Electrons" not in text
