"""Where intensities end."""

from __future__ import annotations

import numpy as np
import pytest

from spindle_lib_symmetry_analysis.resolution import resolution_limits


def data(n=4000, seed=1, fall=80.0):
    """Unique reflections of an orthorhombic cell, each twice, whose <I/sigma> is 100 exp(-fall s^2) with s = 1 / (2 d)."""
    rng = np.random.default_rng(seed)
    hkl = np.array(np.meshgrid(*[np.arange(1, 17)] * 3)).reshape(3, -1).T[:n].astype(np.int32)
    d = 1 / np.linalg.norm(hkl / [40.0, 50.0, 60.0], axis=1)
    mean = 100.0 * np.exp(-fall / (4 * d**2))
    hkl, d, mean = np.repeat(hkl, 2, axis=0), np.repeat(d, 2), np.repeat(mean, 2)
    return hkl, mean + rng.normal(size=len(mean)), np.ones(len(mean)), d


def test_the_limit_is_where_the_curve_falls_below():
    hkl, intensity, variance, d = data()
    by_ratio, by_cc = resolution_limits(hkl, intensity, variance, d, 4.0, None)
    # merged twice: <I> / <sigma> is sqrt(2) larger
    expected = np.sqrt(80.0 / 4 / np.log(100.0 * np.sqrt(2.0) / 4.0))
    assert by_ratio == pytest.approx(expected, rel=0.03) and by_cc is None


@pytest.mark.parametrize("what", ["one resolution", "no reflections", "d of 0"])
def test_what_has_no_curve_has_no_limit(what):
    hkl, intensity, variance, d = data(600)
    if what == "one resolution":
        d = np.full_like(d, 3.0)
    elif what == "d of 0":
        d = np.zeros_like(d)
    else:
        hkl, intensity, variance, d = hkl[:0], intensity[:0], variance[:0], d[:0]
    with np.errstate(all="ignore"):
        for limit in resolution_limits(hkl, intensity, variance, d, 4.0, 0.3):
            assert limit is None or np.isfinite(limit)


def test_cells_of_a_thousand_times_the_length_have_the_limit_a_thousand_times_as_far():
    hkl, intensity, variance, d = data()
    near, far = (resolution_limits(hkl, intensity, variance, f * d, None, 0.3)[1] for f in (1.0, 1000.0))
    assert far == pytest.approx(1000.0 * near, rel=0.01)
