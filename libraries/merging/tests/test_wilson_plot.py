"""A Wilson plot finds B, and leaves out shells that tell nothing of their error."""

from __future__ import annotations

import numpy as np
import pytest

from spindle_lib_merging.wilson import wilson_plot


def plot(change):
    rng = np.random.default_rng(4)
    d = 1.0 / np.sqrt(rng.uniform(0.04, 0.3, 4000))
    intensity = rng.exponential(1e5, len(d)) * np.exp(-2.0 * 20.0 * 0.25 / d**2)
    change(intensity, np.argsort(-d))
    return wilson_plot(intensity, d, np.ones(len(d)), n_bins=20)


def alike(intensity, order):
    intensity[order[:200]] = 7.0


def test_a_shell_without_an_error_is_left_out():
    whole, found = plot(lambda *_: None), plot(alike)
    assert len(whole.ln_ratio) == 20 and len(found.ln_ratio) == 19
    assert found.b_factor == pytest.approx(whole.b_factor, abs=1.0)
