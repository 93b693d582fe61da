"""Merging statistics of an unmerged MTZ file against iotbx of the cctbx that DIALS brings. Skipped without DIALS."""

from __future__ import annotations

import json

import numpy as np
import pytest

import spindle
from spindle.table import Flag
from spindle.testing.data_sets import incomplete_data_sets
from spindle.testing.dials import dials_python

CELL = (61.0, 61.0, 40.0, 90.0, 90.0, 120.0)

SCRIPT = """
import json
import iotbx.merging_statistics
import iotbx.mtz

arrays = iotbx.mtz.object("x.mtz").as_miller_arrays(merge_equivalents=False)
intensities = next(a for a in arrays if a.info().labels[0] == "I")
statistics = iotbx.merging_statistics.dataset_statistics(
    intensities, n_bins=10, binning_method="volume", anomalous=False, use_internal_variance=False, eliminate_sys_absent=False,
    assert_is_not_unique_set_under_symmetry=False,
)
names = {
    "n_observations": "n_obs", "n_unique": "n_uniq", "completeness": "completeness", "multiplicity": "mean_redundancy",
    "mean_intensity": "i_mean", "i_over_sigma": "i_over_sigma_mean", "i_over_sigma_unmerged": "unmerged_i_over_sigma_mean",
    "r_merge": "r_merge", "r_meas": "r_meas", "r_pim": "r_pim", "cc_half_sigma_tau": "cc_one_half_sigma_tau", "cc_half": "cc_one_half",
    "d_min": "d_min",
}
shells = [{k: getattr(b, n) for k, n in names.items()} for b in [statistics.overall, *statistics.bins]]
json.dump(shells, open("theirs.json", "w"))
"""


def test_every_number_of_every_shell_is_that_of_iotbx(tmp_path):
    sets = incomplete_data_sets("P 3", CELL, 8, 2, d_min=3.5, share=0.4, noise=0.3)
    table = sets.table.view()
    table["intensity.scale.value"], table["intensity.scale.variance"] = (
        table["intensity.sum.value"],
        table["intensity.sum.variance"],
    )
    table["inverse_scale_factor"] = np.ones(len(table))
    table["flags"] = table["flags"] | np.uint64(Flag.SCALED)
    table["xyzobs.px.value"] = table["xyzcal.px"] = np.full((len(table), 3), 5.5)
    exported = spindle.run("export", sets.experiments, table, **{"mtz.hklout": "x.mtz"})
    exported.files["x.mtz"](tmp_path / "x.mtz")
    (tmp_path / "theirs.py").write_text(SCRIPT)
    dials_python("theirs.py", cwd=tmp_path)
    theirs = json.loads((tmp_path / "theirs.json").read_text())
    result = spindle.run("merging_statistics", files=[tmp_path / "x.mtz"], n_bins=10, **{"output.json": "ours.json"})
    result.files["ours.json"](tmp_path / "ours.json")
    content = json.loads((tmp_path / "ours.json").read_text())
    for k, (a, b) in enumerate(zip([content["overall"], *content["shells"]], theirs, strict=True)):
        for name, value in b.items():
            # halves are drawn at random by both: their correlation scatters by (1 - cc^2) / sqrt(n), of two draws
            n = a["n_half"]
            tolerance = 5 * (1 - value**2) / np.sqrt(n) if name == "cc_half" else 2e-5 * abs(value)
            assert a[name] == pytest.approx(value, abs=tolerance), (k, name)
