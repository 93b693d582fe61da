"""How widths of spots grow with the diffraction angle."""

from __future__ import annotations

import numpy as np
import pytest
from spindle_profile_gaussian_rs.sigma import line_of_widths

S, G = 6e-4, 2e-3
#: Growth in bins of equal population: most are low, the last lies near the rotation axis.
X = np.concatenate([np.linspace(0.01, 0.5, 18), [1.2, 40.0]])


@pytest.mark.parametrize("cut", [1.0, 0.8, 0.3])
def test_a_bin_that_is_cut_off_changes_little(cut):
    """Spots near the rotation axis are long, and boxes hold only a part of them."""
    y = S**2 + G**2 * X
    y[-1] *= cut
    assert line_of_widths(X, y, 0.04 * S**2) == pytest.approx((S, G), rel=0.02)


@pytest.mark.parametrize("seed", range(5))
def test_both_numbers_come_back_from_noise(seed):
    y = (S**2 + G**2 * X) * np.exp(np.random.default_rng(seed).normal(0, 0.05, len(X)))
    assert line_of_widths(X, y, 0.04 * S**2) == pytest.approx((S, G), rel=0.1)


def test_widths_that_do_not_grow_have_one_number():
    s, g = line_of_widths(X, np.full(len(X), S**2), 0.04 * S**2)
    assert s == pytest.approx(S, rel=1e-3)
    assert g < 0.05 * S
    s, g = line_of_widths(X, S**2 * (1 - 0.002 * X), 0.04 * S**2)
    assert s == pytest.approx(S, rel=0.02)
    assert g < 0.05 * S


def test_a_width_that_only_grows_has_the_floor():
    s, g = line_of_widths(X, G**2 * X, 1e-9)
    assert s**2 == pytest.approx(1e-9, rel=0.1)
    assert g == pytest.approx(G, rel=0.05)


@pytest.mark.parametrize("y", [[S**2], [0.0, S**2, S**2], [-1.0, -1.0, -1.0, -1.0]])
def test_few_or_absurd_points_give_a_width(y):
    s, g = line_of_widths(np.arange(len(y), dtype=float), np.array(y), 0.04 * S**2)
    assert s >= 0.2 * S * 0.999
    assert np.isfinite(s) and np.isfinite(g)
