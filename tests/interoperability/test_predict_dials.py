"""Predictions of DIALS 3.12 for the same experiments. Skipped without DIALS."""

from __future__ import annotations

import numpy as np
import pytest

import spindle
from spindle.files import read_experiments, read_reflections
from spindle.testing import shared_data
from spindle.testing.dials import dials_python

# dials.predict itself wants the images, which are not needed to predict.
SCRIPT = """
import sys
from dxtbx.model.experiment_list import ExperimentListFactory
from dials.array_family import flex

path, out, d_min, force = sys.argv[1:]
experiments = ExperimentListFactory.from_json_file(path, check_format=False)
table = flex.reflection_table.from_predictions_multi(
    experiments, dmin=None if d_min == "None" else float(d_min), force_static=force == "True")
if all(e.profile is not None for e in experiments):
    table.compute_bbox(experiments)
table.as_file(out)
"""


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("quartz_processed/integrated", {}),
        ("quartz_processed/integrated", {"force_static": True, "d_min": 1.0}),
        ("l_cysteine_narrow_wedge/11_integrated", {}),
        ("centroid_test_data/indexed", {}),
    ],
)
def test_predictions_are_the_same(name, parameters, tmp_path):
    path = shared_data("dials_processed") / f"{name}.expt"
    (tmp_path / "run.py").write_text(SCRIPT)
    d_min, force = parameters.get("d_min"), parameters.get("force_static", False)
    dials_python("run.py", path, "theirs.refl", d_min, force, cwd=tmp_path)
    theirs = read_reflections(tmp_path / "theirs.refl")
    widths = {"gaussian_rs.widths": "dials"}
    ours = spindle.run("predict", read_experiments(path), **parameters, **widths).reflections
    a, b = (np.lexsort([*t["miller_index"].T, t["xyzcal.px"][:, 2].round(3)]) for t in (ours, theirs))
    np.testing.assert_array_equal(ours["miller_index"][a], theirs["miller_index"][b])
    for column, tolerance in (("xyzcal.px", 1e-9), ("xyzcal.mm", 1e-9), ("s1", 1e-12)):
        np.testing.assert_allclose(ours[column][a], theirs[column][b], atol=tolerance)
    np.testing.assert_array_equal(ours["entering"][a], theirs["entering"][b])
    assert ("bbox" in ours) == ("bbox" in theirs)
    if "bbox" in ours:
        off = np.abs(ours["bbox"][a] - theirs["bbox"][b])
        # DIALS shifts the corners of a box by the parallax of each, ours by that of the centre
        assert off.max() <= 1 and np.mean(off > 0) < 0.02
    assert set(ours) == set(theirs)
