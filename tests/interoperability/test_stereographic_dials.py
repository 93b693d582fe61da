"""Places of planes in the stereographic projections of DIALS 3.12. Skipped without DIALS."""

from __future__ import annotations

import numpy as np

import spindle
from spindle.files import read_experiments
from spindle.testing import shared_data
from spindle.testing.dials import dials


def by_direction(path):
    """x, y of each direction; opposite indices are one."""
    found = {}
    for row in np.loadtxt(path, skiprows=1):
        hkl = row[1:4].astype(int)
        found[tuple(hkl if hkl[hkl != 0][0] > 0 else -hkl)] = row[4:]
    return found


def test_planes_of_quartz_are_at_the_same_places(tmp_path):
    path = shared_data("dials_processed") / "quartz_processed" / "integrated.expt"
    dials("dials.stereographic_projection", path, "hkl_limit=2", "phi_angle=20", "plot.filename=None", cwd=tmp_path)
    theirs = by_direction(tmp_path / "projections.txt")
    result = spindle.run(
        "stereographic_projection", read_experiments(path), hkl_limit=2, phi_angle=20, **{"plot.filename": None}
    )
    result.files["projections.txt"](tmp_path / "ours.txt")
    ours = by_direction(tmp_path / "ours.txt")
    assert set(ours) == set(theirs) and len(ours) > 50
    for hkl, place in theirs.items():
        np.testing.assert_allclose(ours[hkl], place, atol=2e-6)
