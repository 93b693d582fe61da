"""A detector that counts photons beside where they arrive."""

from __future__ import annotations

import numpy as np
import pytest

from spindle.testing.simulated import simulate_sweep

DARK = {"background__flat": 0.0, "background__air": 0.0, "background__solvent": 0.0, "scan__n_images": 10}
STEADY = {"crystal__drift": 0.0, "crystal__decay": 0.0, "beam__jitter": 0.0, "beam__wobble": 0.0}


def test_a_detector_spreads_photons(tmp_path):
    """Positions scatter by the point spread; no photon is lost by it, and all else stays as it is."""
    steady = simulate_sweep(tmp_path / "a", structure__mean_counts=600.0, **DARK, **STEADY)
    wide = {"detector__point_spread": 0.5, "detector__point_spread_tail": 0.2}
    spread = simulate_sweep(tmp_path / "b", structure__mean_counts=600.0, **DARK, **STEADY, **wide)
    assert spread.models["detector"]["point_spread"] == [0.5, 0.2, 1.9]
    a, b = steady.arrays, spread.arrays
    np.testing.assert_array_equal(a["n_mean_0"], b["n_mean_0"])
    inside = (a["n_all_0"] > 200) & (np.abs(a["xy_pred_0"] - 240).max(axis=1) < 200)
    assert b["n_all_0"][inside].sum() == pytest.approx(a["n_all_0"][inside].sum(), rel=0.01)
    away = (b["xyz_photon_mean_0"] - a["xyz_photon_mean_0"])[inside][:, :2] * np.sqrt(a["n_all_0"][inside])[:, None]
    # means of n photons scatter by the spread (and by what both have) over sqrt(n)
    assert np.std(away) > np.sqrt(0.8 * 0.5**2 + 0.2 * 1.9**2)
