"""The exporter passes the contract of its slot; its files are read back by columns and keywords."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import spindle
from spindle.errors import UserError
from spindle.geometry import rotation_matrix
from spindle.models import Experiments
from spindle.testing.exporter import ExporterContract, ReadBack, integrated_data

PROFILE = {"__id__": "gaussian_rs", "n_sigma": 3.0, "sigma_b": 0.06, "sigma_m": 0.2}


class TestBestExporter(ExporterContract):
    """With what BEST needs beyond the data of the contract: a background and a profile model."""

    name = "best"

    def read_back(self, paths: list[Path]) -> ReadBack:
        rows = np.concatenate([np.loadtxt(path, ndmin=2) for path in paths if path.suffix == ".hkl"])
        return ReadBack(rows[:, :3].astype(int), rows[:, 3], rows[:, 4])

    @pytest.fixture(autouse=True)
    def complete_data(self, monkeypatch):
        from spindle.testing import exporter

        for name in ("integrated_data", "telling_data"):
            made = getattr(exporter, name)

            def complete(made=made):
                experiments, table = made()
                table["background.mean"] = np.full(len(table), 2.0)
                return Experiments([replace(e, profile=PROFILE) for e in experiments]), table

            monkeypatch.setattr(exporter, name, complete)


@pytest.fixture
def complete():
    experiments, table = integrated_data()
    d = np.asarray(table["d"])
    table["background.mean"] = 10.0 / d
    return Experiments([replace(experiments[0], profile=PROFILE)]), table


def exported(tmp_path, experiments, table, **params):
    paths = {}
    for name, writer in spindle.run("export", experiments, table, format="best", **params).files.items():
        paths[name] = tmp_path / name
        writer(paths[name])
    return paths


def test_orientation_and_widths_are_those_of_the_models(tmp_path, complete):
    experiments, table = complete
    paths = exported(tmp_path, experiments, table)
    lines = [line.split() for line in paths["best.par"].read_text().splitlines()]
    words = {line[0]: line[1:] for line in lines}
    at = next(i for i, line in enumerate(lines) if line[0] == "UB")
    UB = np.array([lines[at][1:], lines[at + 1], lines[at + 2]], float)
    for row in range(0, len(table), 60):
        turn = rotation_matrix(np.array([0.0, 0, 1]), float(table["xyzcal.mm"][row, 2]))
        s = np.array([1.0, 0, 0]) + turn @ UB @ table["miller_index"][row]
        assert abs(np.linalg.norm(s) - 1) < 1e-4
    assert float(words["CMOSAIC"][0]) == pytest.approx(2.3548 * 0.2, abs=0.006)
    assert float(words["SEPARATION"][0]) == pytest.approx(3 * 90 * np.radians(0.06), abs=1e-3)
    assert [float(words[n][0]) for n in ("PHISTART", "PHIWIDTH", "DISTANCE")] == [10.0, 0.5, 90.0]


def test_the_background_follows_resolution(tmp_path, complete):
    experiments, table = complete
    rows = np.loadtxt(exported(tmp_path, experiments, table, n_bins=20)["best.dat"])
    assert len(rows) <= 20 and np.all(np.diff(rows[:, 0]) < 0)
    np.testing.assert_allclose(rows[:, 1], 10.0 / rows[:, 0], atol=0.12)


@pytest.mark.parametrize("lacking", ["background.mean", "profile"])
def test_what_is_lacking_is_named(tmp_path, complete, lacking):
    experiments, table = complete
    if lacking == "profile":
        experiments = experiments.replace(0, profile=None)
    else:
        table = table.without(lacking)
    with pytest.raises(UserError, match="spindle integrate"):
        exported(tmp_path, experiments, table)
