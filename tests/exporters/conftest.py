"""A data set to export, and what exports it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest

import spindle
from spindle.geometry import rotation_matrix
from spindle.models import Beam, Crystal, Detector, Experiment, Experiments, Goniometer, ImageSet, Panel, Scan
from spindle.table import Flag


@pytest.fixture
def data():
    """A small integrated data set with a tilted axis, predicted, with intensities that are functions of the index."""
    from spindle.prediction import lorentz_polarisation, predict_static

    panel = Panel([1, 0, 0], [0, -1, 0], [-50.0, 52.0, -90.0], [0.172, 0.172], (600, 610), thickness=0.32, mu=4.2,
    material="Si",
                  parallax="normalised", mask=((0, 195, 600, 212),))  # fmt: skip
    experiment = Experiment(
        Beam([0, 0, 1], 1.0), Detector([panel]), Goniometer([0.8, 0.6, 0.0]), Scan((3, 62), (10.0, 0.5)),
        Crystal.from_cell([60.0, 60.0, 40.0, 90, 90, 90], rotation_matrix(np.array([0.36, 0.48, 0.8]), 0.7), "P 43 21 2"),
        imageset=ImageSet(template="/data/x_####.cbf"),
    )  # fmt: skip
    table = predict_static(experiment, d_min=3.0)
    n = len(table)
    table["xyzobs.px.value"] = table["xyzcal.px"]
    table["d"] = 1 / np.linalg.norm(table["s1"] - experiment.beam.s0, axis=1)
    value = 100.0 + np.abs(table["miller_index"]).sum(axis=1)
    for kind, factor in (("sum", 1.0), ("prf", 2.0)):
        table[f"intensity.{kind}.value"] = factor * value
        table[f"intensity.{kind}.variance"] = factor * value
    table["partiality"] = np.ones(n)
    table["partial_id"] = np.arange(n)
    table["lp"] = lorentz_polarisation(experiment.beam, experiment.goniometer, table["s1"])
    table.set_flags(np.arange(n), Flag.INTEGRATED_SUM | Flag.INTEGRATED_PRF)
    return Experiments([experiment]), table


@pytest.fixture
def export(tmp_path):
    """What exports and gives the files by their names: experiments, reflections and parameters."""

    def run(experiments, table, **params):
        result = spindle.run("export", experiments, table, **params)
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        written = {}
        for name, writer in result.files.items():
            path = folder / name.replace("/", "_")
            writer(path)
            written[name] = path
        return written

    return run
