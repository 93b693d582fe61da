"""The usual number of spots of an image."""

from __future__ import annotations

import numpy as np

from spindle_lib_spots.blanks_and_ice import _quantile


def test_quantiles_of_counts_are_those_of_numpy_to_the_bit():
    rng = np.random.default_rng(8)
    for _ in range(300):
        counts, part = rng.integers(0, 1000, rng.integers(1, 60)), float(rng.random())
        assert _quantile(counts, part) == float(np.quantile(counts, part))
    assert _quantile(np.array([4]), 0.9) == 4.0 and _quantile(np.array([1, 2]), 1.0) == 2.0
