"""The first-party thresholds pass the contract that strangers' thresholds have to pass."""

from __future__ import annotations

from spindle.testing.threshold import ThresholdContract


class TestDispersion(ThresholdContract):
    name = "dispersion"


class TestDispersionExtended(ThresholdContract):
    name = "dispersion_extended"


class TestDispersionExtendedOfOldDials(ThresholdContract):
    name = "dispersion_extended"
    parameters = {"legacy_erosion": True}


class TestDispersionWithLargeWindow(ThresholdContract):
    name = "dispersion"
    parameters = {"kernel_size": (7, 6)}


class TestDispersionExtendedWithUnequalWindow(ThresholdContract):
    name = "dispersion_extended"
    parameters = {"kernel_size": (4, 6)}
    expected_failures = {
        "test_rows_and_columns_are_treated_alike": "the window has other widths along rows and columns"
    }


class TestRadialProfile(ThresholdContract):
    name = "radial_profile"


class TestRadialProfileWithNarrowBlur(ThresholdContract):
    name = "radial_profile"
    parameters = {"blur": "narrow"}


class TestRadialProfileWithWideBlur(ThresholdContract):
    name = "radial_profile"
    parameters = {"blur": "wide", "n_bins": 20}


class TestRadialProfileOfDials(ThresholdContract):
    name = "radial_profile"
    parameters = {"legacy_pixels": True}
    expected_failures = {
        "test_rows_and_columns_are_treated_alike": "DIALS takes the first corner of each pixel for its place",
        "test_a_map_of_gains_holds_pixel_by_pixel": "DIALS takes no notice of maps",
        "test_spots_are_told_from_any_background[0.3]": "DIALS calls two photons strong where the quartiles coincide",
    }


class TestDispersionCuda(ThresholdContract):
    name = "dispersion_cuda"
