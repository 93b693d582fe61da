"""How well each experiment agrees with all others, against merging the others anew for each."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from spindle_program_symmetry.agreement import agreements

from spindle_lib_merging import correlation
from spindle_lib_symmetry_analysis.alignment import merge_keys, orbit_keys
from spindle_lib_symmetry_analysis.laue import without_extremes


def test_each_is_compared_with_what_the_others_say_together():
    rng = np.random.default_rng(8)
    n = 900
    hkl = rng.integers(-4, 5, (n, 3))
    group = [np.eye(3, dtype=np.int64), np.diag([-1, 1, -1])]
    data = SimpleNamespace(
        hkl=hkl, keep=rng.random(n) < 0.9, experiment=np.where(np.arange(n) < 3, 4, rng.integers(0, 4, n)), n_experiments=6,
        normalised=np.abs(hkl).sum(axis=1) + rng.normal(0, 1, n), normalised_sigma=rng.uniform(0.5, 2, n),
    )  # fmt: skip
    found = agreements(data, group)
    keys, weight = orbit_keys(hkl, group), data.normalised_sigma**-2
    for i in range(6):
        mine, rest = (data.keep & which for which in (data.experiment == i, data.experiment != i))
        assert found[i].n == np.count_nonzero(mine)
        if not mine.any():
            continue
        own, other = (merge_keys(keys[m], data.normalised[m], weight[m]) for m in (mine, rest))
        _, a, b = np.intersect1d(own[0], other[0], assume_unique=True, return_indices=True)
        x, y = without_extremes(own[1][a], other[1][b])
        assert found[i].n_common == len(x)
        np.testing.assert_allclose(found[i].cc_between, correlation(x, y), atol=1e-9)
        np.testing.assert_allclose(found[i].r_between, np.abs(x - y).sum() / (x + y).sum(), rtol=1e-9)
    assert found[5].n == 0


def test_one_alone_has_no_others():
    data = SimpleNamespace(
        hkl=np.array([[1, 0, 0], [1, 0, 0], [0, 2, 0]]), keep=np.ones(3, bool), experiment=np.zeros(3, int), n_experiments=1,
        normalised=np.array([1.0, 3.0, 2.0]), normalised_sigma=np.ones(3),
    )  # fmt: skip
    (found,) = agreements(data, [np.eye(3, dtype=np.int64)])
    assert found.n == 3 and np.isclose(found.r_within, 0.5) and np.isnan(found.r_between)
