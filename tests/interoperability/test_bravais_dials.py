"""Settings of `spindle refine_bravais_settings` against those of DIALS on real spots. Skipped without DIALS."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

import spindle
from spindle.files import read_experiments, read_reflections
from spindle.testing.data import shared_data
from spindle.testing.dials import dials


@pytest.mark.parametrize("name", ["centroid_test_data", "quartz_processed"])
def test_settings_fits_and_residuals_are_those_of_dials(name, tmp_path, monkeypatch):
    """Spots near the limits of outlier rejection are judged differently: a few in a hundred, and 2 % of the residuals."""
    folder = shared_data(f"dials_processed/{name}")
    files = [folder / "indexed.expt", folder / "indexed.refl"]
    dials("dials.refine_bravais_settings", *files, "nproc=1", cwd=tmp_path)
    theirs = json.loads((tmp_path / "bravais_summary.json").read_text())
    monkeypatch.chdir(tmp_path)
    margin = {"refinement.reflections.scan_margin": 0}  # DIALS takes spots that the ends of the scan cut
    result = spindle.run("refine_bravais_settings", read_experiments(files[0]), read_reflections(files[1]), **margin)
    result.files["bravais_summary.json"](tmp_path / "ours.json")
    ours = json.loads((tmp_path / "ours.json").read_text())

    def kinds(summary):
        return Counter((s["bravais"], round(s["max_angular_difference"], 3)) for s in summary.values())

    assert kinds(ours) == kinds(theirs)
    # where a symmetry is not there, it is a matter of taste which spots are outliers, and so are the models
    fitting = [[s for s in summary.values() if s["rmsd"] < 2 * summary["1"]["rmsd"]] for summary in (ours, theirs)]
    assert len(fitting[0]) == len(fitting[1])
    for own in fitting[0]:
        edges = np.sort(own["unit_cell"][:3])
        same = [s for s in fitting[1] if s["bravais"] == own["bravais"]]
        nearest = min(same, key=lambda s: np.abs(np.sort(s["unit_cell"][:3]) - edges).max())
        fitting[1].remove(nearest)
        np.testing.assert_allclose(edges, np.sort(nearest["unit_cell"][:3]), rtol=5e-3)
        assert own["rmsd"] == pytest.approx(nearest["rmsd"], rel=0.03)
        assert own["nspots"] == pytest.approx(nearest["nspots"], rel=0.08)
        assert own["recommended"] == nearest["recommended"]
