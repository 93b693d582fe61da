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


class TestDispersionCuda(ThresholdContract):
    name = "dispersion_cuda"
