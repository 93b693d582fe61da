"""Our experiment lists of series against dials.import, and DIALS reading ours. Skipped without DIALS.

Single images of all kinds are compared in test_images_dials.py.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

import spindle
from spindle.files import write_experiments
from spindle.testing import shared_data
from spindle.testing.dials import dials


def comparable(path):
    """The file without what differs on purpose."""
    data = json.loads(path.read_text())
    for experiment in data["experiment"]:
        del experiment["identifier"]  # random
    for beam in data["beam"]:
        del beam["polarization_fraction"]  # ours is the header's, DIALS's always 0.999
    for images in data["imageset"]:
        assert images["params"].pop("read_as", "cbf") == "cbf"  # unknown to DIALS, which ignores it
    for detector in data["detector"]:
        detector.pop("hierarchy", None)  # the identity
        for panel in detector["panels"]:
            del panel["identifier"]  # DIALS leaves it out for plain miniCBF
            panel["px_mm_strategy"].pop("depth", None)  # unknown to DIALS, which ignores it
    return data


def assert_same(ours, theirs, where=""):
    if isinstance(ours, dict):
        assert set(ours) == set(theirs), where
        for key in ours:
            assert_same(ours[key], theirs[key], f"{where}.{key}")
    elif isinstance(ours, list):
        assert len(ours) == len(theirs), where
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            assert_same(a, b, f"{where}[{i}]")
    elif isinstance(ours, float) or isinstance(theirs, float):
        # 1e-9: both read the same decimal numbers; angles of axes go through one rotation.
        assert np.isclose(ours, theirs, rtol=1e-9, atol=1e-9), f"{where}: ours {ours}, DIALS {theirs}"
    else:
        assert ours == theirs, f"{where}: ours {ours}, DIALS {theirs}"


@pytest.mark.parametrize(
    ("folder", "pattern"),
    [
        ("l_cysteine", "*.cbf.bz2"),
        ("thaumatin_grid", "*_000[1-3].cbf.bz2"),
    ],
)
def test_same_experiments_as_dials(tmp_path, folder, pattern):
    files = sorted(shared_data(folder).glob(pattern))
    dials("dials.import", *files, cwd=tmp_path)
    write_experiments(spindle.run("import", files=files).experiments, tmp_path / "ours.expt")
    assert_same(comparable(tmp_path / "ours.expt"), comparable(tmp_path / "imported.expt"))


def test_dials_reads_our_experiments(tmp_path):
    files = sorted(shared_data("l_cysteine").glob("*_02_*.bz2"))[:3]
    write_experiments(spindle.run("import", files=files).experiments, tmp_path / "ours.expt")
    text = dials("dials.show", "ours.expt", cwd=tmp_path)
    for line in (
        "px: (192.73,865.00)",
        "oscillation:   {-145,0.1}",
        "ParallaxCorrectedPxMmStrategy",
        "Angles: 120,-145",
    ):
        assert line in text
