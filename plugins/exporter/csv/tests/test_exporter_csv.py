"""The exporter passes the contract of its slot; its file is read back by Python's csv module and numpy."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

import spindle
from spindle.testing.exporter import ExporterContract, ReadBack, telling_data


def read(path):
    with path.open() as file:
        return list(csv.DictReader(file))


class TestCsvExporter(ExporterContract):
    name = "csv"

    def read_back(self, paths: list[Path]) -> ReadBack:
        rows = read(paths[0])
        index = np.array([[int(r[c]) for c in "hkl"] for r in rows]).reshape(-1, 3)
        value, sigma, z = (np.array([float(r[c]) for r in rows]) for c in ("intensity", "sigma", "z"))
        return ReadBack(index, value, sigma, z)


def test_the_columns_are_those_of_the_table(tmp_path):
    experiments, table = telling_data()
    place, mm, last = table["xyzcal.px"].copy(), table["xyzcal.mm"].copy(), experiments[0].scan.array_range[1]
    beyond = int(np.flatnonzero(table["id"] == 0)[0])
    mm[beyond, 2] += np.radians(0.5) * (last + 0.7 - place[beyond, 2])
    place[beyond, 2] = last + 0.7
    table["xyzcal.px"], table["xyzcal.mm"] = place, mm
    (writer,) = spindle.run("export", experiments, table, format="csv", intensity="profile+sum").files.values()
    writer(tmp_path / "a.csv")
    rows = read(tmp_path / "a.csv")
    first = rows[0]
    assert {r["experiment"] for r in rows} == {"0", "1"} and {r["panel"] for r in rows} == {"0"}
    assert float(first["intensity"]) == float(first["intensity_prf"]) != float(first["intensity_sum"])
    start = {"0": 10 - 2 * 0.5, "1": 100 - 100 * 0.5}
    for row in rows[::40]:
        assert int(row["image"]) == min(int(float(row["z"])) + 1, last if row["experiment"] == "0" else 10**6)
        assert abs(float(row["phi_deg"]) - start[row["experiment"]] - 0.5 * float(row["z"])) < 1e-3
    assert (
        max(int(r["image"]) for r in rows if r["experiment"] == "0")
        == last
        < max(float(r["z"]) for r in rows if r["experiment"] == "0")
    )
