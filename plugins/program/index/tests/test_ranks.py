"""Places of values in their order."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata
from spindle_program_index.harmonics import ranks


def test_ranks_are_those_of_scipy_with_means_for_ties():
    rng = np.random.default_rng(5)
    for values in (rng.normal(size=40), rng.integers(0, 9, 50).astype(float), np.ones(3), np.zeros(1)):
        assert np.array_equal(ranks(values), rankdata(values))
