"""Curves of radiation damage against `dials.damage_analysis`. Skipped without DIALS."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np

import spindle
from spindle.files import write_experiments, write_reflections
from spindle.models import Experiments, Scan
from spindle.table import Flag
from spindle.testing.data_sets import incomplete_data_sets
from spindle.testing.dials import dials

CELL = (61.0, 61.0, 40.0, 90.0, 90.0, 90.0)
IMAGES = 30


def test_every_curve_is_that_of_dials(tmp_path):
    sets = incomplete_data_sets("P 4 2 2", CELL, 6, 3, d_min=4.0, share=0.6, noise=0.1)
    experiments = Experiments([replace(e, scan=Scan((1, IMAGES), (0.0, 1.0))) for e in sets.experiments])
    rng = np.random.default_rng(0)
    table = sets.table.view()
    n = len(table)
    z = rng.uniform(0, IMAGES, n)
    # rows of one data set after those of the other: 3.12 gives interleaved ones the doses of others
    assert np.all(np.diff(table["id"]) >= 0)
    table["intensity.scale.value"] = table["intensity.sum.value"] * (1 + 0.3 * rng.normal(0, 1, n) * z / IMAGES)
    table["intensity.scale.variance"] = table["intensity.sum.variance"]
    table["inverse_scale_factor"] = np.exp(rng.normal(0, 0.1, 6))[table["id"]]
    table["flags"] = table["flags"] | np.uint64(Flag.SCALED)
    table["xyzobs.px.value"] = table["xyzcal.px"] = np.column_stack([np.zeros((n, 2)), z])
    write_experiments(experiments, tmp_path / "x.expt")
    write_reflections(table, tmp_path / "x.refl")
    dials("dials.damage_analysis", "x.expt", "x.refl", "json=theirs.json", "shared_crystal=True", cwd=tmp_path)
    theirs = json.loads((tmp_path / "theirs.json").read_text())["dose_plots"]
    result = spindle.run(
        "damage_analysis", experiments, table, shared_crystal=True, **{"output.json": "ours.json"},
    )  # fmt: skip
    result.files["ours.json"](tmp_path / "ours.json")
    ours = json.loads((tmp_path / "ours.json").read_text())
    for plot, name in (
        ("rcp_vs_dose", "rcp"),
        ("completeness_vs_dose", "completeness"),
        ("rd_vs_batch_difference", "rd"),
    ):
        curves = theirs[plot]["data"]
        # where there is nothing, 3.12 has 0
        np.testing.assert_allclose(np.nan_to_num(np.array(ours[name], float)), curves[0]["y"], atol=1e-12, err_msg=plot)
        for k, curve in enumerate(curves[1:]):
            shell = np.array(ours[f"{name}_by_shell"][k], float)
            np.testing.assert_allclose(np.nan_to_num(shell), curve["y"], atol=1e-12, err_msg=f"{plot} {k}")
    for k, curve in enumerate(theirs["scp_vs_dose"]["data"][1:]):
        # 3.12 has 1.1284 for 2 / sqrt(pi)
        shell = np.array(ours["scp_by_shell"][k], float)
        np.testing.assert_allclose(np.nan_to_num(shell), curve["y"], rtol=4e-5, err_msg=f"scp {k}")
