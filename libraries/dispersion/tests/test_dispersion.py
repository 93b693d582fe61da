"""What thresholds by dispersion share."""

from __future__ import annotations

import numpy as np
import pytest

from spindle.errors import ParameterError
from spindle.params import Auto
from spindle.params.resolve import make
from spindle_lib_dispersion.params import DispersionParams, DispersionSettings
from spindle_lib_dispersion.windows import window_sums


@pytest.mark.parametrize("half", [1, 3, 4])
@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float64])
def test_window_sums_are_those_of_a_convolution(half, dtype):
    column = np.zeros(20 + 2 * half, dtype)
    column[half:-half] = np.random.default_rng(half).integers(0, 100, 20)
    window = np.empty(20, dtype)
    window_sums(column, half, window)
    assert np.array_equal(window, np.convolve(column, np.ones(2 * half + 1, dtype), "valid"))


def test_a_window_needs_two_pixels_and_no_more_than_it_has():
    assert DispersionSettings.of(make(DispersionParams, min_local=0)).min_local == 49
    for wrong in (1, 50):
        with pytest.raises(ParameterError, match=f"min_local={wrong}: choose 2 to 49"):
            DispersionSettings.of(make(DispersionParams, min_local=wrong))


def test_the_gain_of_the_parameters_multiplies_that_of_the_host():
    given = np.array([[1.0, 2.0], [4.0, 8.0]])
    for gain, factor in ((None, 1.0), (Auto, 1.0), (3.0, 3.0)):
        assert np.array_equal(DispersionSettings.of(make(DispersionParams, gain=gain)).gains(given), factor * given)
    with pytest.raises(ParameterError, match="positive"):
        DispersionSettings.of(make(DispersionParams, gain=0.0))
