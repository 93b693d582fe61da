"""Delta CC1/2 of data sets against `dials.compute_delta_cchalf`. Skipped without DIALS."""

from __future__ import annotations

import numpy as np

import spindle
from spindle.files import write_experiments, write_reflections
from spindle.table import Flag
from spindle.testing.data_sets import incomplete_data_sets
from spindle.testing.dials import dials

CELL = (61.0, 61.0, 40.0, 90.0, 90.0, 90.0)


def test_each_set_adds_what_dials_says(tmp_path):
    sets = incomplete_data_sets("P 4 2 2", CELL, 5, 3, d_min=4.0, share=0.4, noise=0.3)
    table = sets.table.view()
    table["inverse_scale_factor"] = np.ones(len(table))
    table["intensity.scale.value"] = table["intensity.sum.value"]
    table["intensity.scale.variance"] = table["intensity.sum.variance"]
    table["flags"] = table["flags"] | np.uint64(Flag.SCALED)
    table["xyzobs.px.value"] = np.full((len(table), 3), 5.5)
    write_experiments(sets.experiments, tmp_path / "x.expt")
    write_reflections(table, tmp_path / "x.refl")
    dials("dials.compute_delta_cchalf", "x.expt", "x.refl", "output.table=theirs.dat", cwd=tmp_path)
    theirs = dict(line.split() for line in (tmp_path / "theirs.dat").read_text().splitlines())
    result = spindle.run("compute_delta_cchalf", sets.experiments, table)
    result.files["delta_cchalf.dat"](tmp_path / "ours.dat")
    ours = dict(line.split() for line in (tmp_path / "ours.dat").read_text().splitlines())
    assert sorted(theirs) == sorted(ours)
    np.testing.assert_allclose(
        [float(ours[k]) for k in sorted(ours)], [float(theirs[k]) for k in sorted(ours)], atol=2e-6
    )
