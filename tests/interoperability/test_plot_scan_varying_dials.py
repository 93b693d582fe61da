"""Cells and turns along a scan as DIALS 3.12 draws them. Skipped without DIALS."""

from __future__ import annotations

import numpy as np

import spindle
from spindle.files import read_experiments
from spindle.testing import shared_data
from spindle.testing.dials import dials


def test_what_is_drawn_is_the_same(tmp_path):
    path = shared_data("dials_processed") / "quartz_processed" / "integrated.expt"
    printed = dials("dials.plot_scan_varying_model", path, "debug=True", cwd=tmp_path).splitlines()
    blocks = {}
    for line in printed:
        words = line.split("\t")
        if words[0] in ("Phi", "Image"):
            rows = blocks.setdefault(words[1], [])
        elif len(words) > 1:
            rows.append([float(w) for w in words])
    result = spindle.run("plot_scan_varying_model", read_experiments(path), **{"output.debug": True})
    ours = {t.key: np.array(t.rows, dtype=float) for t in result.tables if t.key.startswith("values")}
    np.testing.assert_allclose(ours["values_a_0"], blocks["a"], atol=2e-6)
    np.testing.assert_allclose(ours["values_phi1_0"], np.array(blocks["phi3"])[:, [0, 3, 2, 1]], atol=2e-6)
