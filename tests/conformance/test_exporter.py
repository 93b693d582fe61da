"""The first-party exporters pass the contract that strangers' exporters have to pass."""

from __future__ import annotations

import gemmi
import numpy as np

from spindle.testing.exporter import ExporterContract, ReadBack


class TestMtz(ExporterContract):
    name = "mtz"
    parameters = {"d_min": 0.1}

    def read_back(self, paths):
        (path,) = paths
        mtz = gemmi.read_mtz_file(str(path))
        mtz.switch_to_original_hkl()
        batch = mtz.column_with_label("BATCH").array
        return ReadBack(
            mtz.make_miller_array(), mtz.column_with_label("I").array, mtz.column_with_label("SIGI").array, batch - 0.5
        )


class TestXdsAscii(ExporterContract):
    name = "xds_ascii"

    def read_back(self, paths):
        rows = np.concatenate([np.loadtxt(path, comments="!", ndmin=2) for path in paths])
        return ReadBack(rows[:, :3].astype(int), rows[:, 3], rows[:, 4], rows[:, 7])


class TestXds(ExporterContract):
    name = "xds"
    holds_intensities = False
