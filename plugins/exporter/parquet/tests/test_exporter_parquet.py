"""The exporter passes the contract of its slot where pyarrow is installed; its file is read back by pyarrow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import spindle
from spindle.errors import PluginError
from spindle.testing.exporter import ExporterContract, ReadBack, telling_data


class TestParquetExporter(ExporterContract):
    name = "parquet"

    def read_back(self, paths: list[Path]) -> ReadBack:
        parquet = pytest.importorskip("pyarrow.parquet")
        table = parquet.read_table(str(paths[0]))
        columns = {name: table[name].to_numpy() for name in ("h", "k", "l", "intensity", "sigma", "z")}
        index = np.stack([columns[c] for c in "hkl"], axis=1)
        return ReadBack(index, columns["intensity"], columns["sigma"], columns["z"])


def test_without_pyarrow_the_format_is_refused_with_the_remedy(monkeypatch):
    monkeypatch.setattr("spindle_exporter_parquet.algorithm.find_spec", lambda name: None)
    with pytest.raises(PluginError, match="pip install pyarrow, or use format=csv"):
        spindle.run("export", *telling_data(), format="parquet")
