"""Regions of missing reflections against `dials.missing_reflections`. Skipped without DIALS."""

from __future__ import annotations

import re

import numpy as np

import spindle
from spindle.files import write_experiments, write_reflections
from spindle.testing.data_sets import incomplete_data_sets
from spindle.testing.dials import dials


def test_regions_are_those_of_dials(tmp_path):
    """A wedge of P 4, and what lies near the beam."""
    sets = incomplete_data_sets("P 4", (41.0, 41.0, 50.0, 90.0, 90.0, 90.0), 1, 2, d_min=4.0, share=0.5)
    table = sets.table.view()
    table["partial_id"] = np.arange(len(table))
    write_experiments(sets.experiments, tmp_path / "x.expt")
    write_reflections(table, tmp_path / "x.refl")
    text = dials("dials.missing_reflections", "x.expt", "x.refl", cwd=tmp_path)
    theirs = [int(n) for n in re.findall(r"^\| +(\d+) \| +[\d.]+ \| [\d.]+-[\d.]+", text, re.MULTILINE)]
    ours = spindle.run("missing_reflections", sets.experiments, table).summary["sizes"]
    assert theirs and ours == theirs
