"""Where data end by CC1/2 and completeness, for data whose end is known."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from spindle.symmetry import unique_indices
from spindle_lib_merging import data_end, merging_statistics

CELL, GROUP = (60.0, 70.0, 80.0, 90.0, 90.0, 90.0), "P 21 21 21"


def statistics(signal=lambda d: np.ones_like(d), part=lambda d: np.ones_like(d), seed=2):
    """Four observations of each reflection to 2 A, of intensity 100 x signal with errors of 10; of which a part is measured."""
    rng = np.random.default_rng(seed)
    unique = unique_indices(CELL, GROUP, 2.0)
    d = gemmi.UnitCell(*CELL).calculate_d_array(unique)
    measured = rng.random(len(unique)) < part(d)
    unique, d = unique[measured], d[measured]
    true = rng.exponential(100.0, len(unique)) * signal(d)
    hkl = np.repeat(unique, 4, axis=0)
    value = np.repeat(true, 4) + rng.normal(0.0, 10.0, len(hkl))
    return merging_statistics(hkl, value, np.full(len(hkl), 100.0), CELL, GROUP, 20)


def test_good_data_are_not_cut():
    found = data_end(statistics())
    assert found.d_min is None and found.deciding is None
    assert [c.d_min for c in found.curves] == pytest.approx([2.0, 2.0], abs=0.01)


def test_data_end_where_completeness_falls_below_one_half():
    found = data_end(statistics(part=lambda d: np.clip((1 / 2.0 - 1 / d) / (1 / 2.0 - 1 / 2.6), 0.0, 1.0)))
    # half way between 2.6 and 2 A in 1/d
    assert found.d_min == pytest.approx(1 / (0.5 * (1 / 2.0 + 1 / 2.6)), abs=0.03)
    assert found.deciding is not None and found.deciding.metric.name == "completeness"
    table = found.table()
    assert len(table.rows) == 20 and table.headers == ["d_min (A)", "cc_half", "fit", "completeness", "fit"]


def test_data_end_where_cc_half_falls_below_its_limit():
    """CC1/2 = v / (v + e) of the variance v of true intensities and e of half means, 10**2 / 2, here (100 s)**2 and 50."""

    def signal(d):
        return np.exp(-((2.4 / d) ** 8))

    found = data_end(statistics(signal))
    expected_at = np.linspace(2.01, 3.5, 2000)
    variance = (100.0 * signal(expected_at)) ** 2
    expected = expected_at[np.argmin(np.abs(variance / (variance + 50.0) - 0.3))]
    assert found.deciding is not None and found.deciding.metric.name == "cc_half"
    assert found.d_min == pytest.approx(expected, abs=0.06)


def test_noise_is_not_cut_since_nothing_would_be_left():
    found = data_end(statistics(lambda d: np.zeros_like(d)))
    assert found.d_min is None
