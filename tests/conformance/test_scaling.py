"""The first-party scaling models pass the contract that strangers' models have to pass."""

from __future__ import annotations

from spindle.testing.scaling import ScalingContract


class TestPhysical(ScalingContract):
    name = "physical"
    parameters = {"absorption_correction": True}


class TestPhysicalFixedRestraints(ScalingContract):
    name = "physical"
    parameters = {"restraint": "fixed", "absorption_correction": True, "lmax": 3}


class TestPhysicalOnAFewImages(ScalingContract):
    name = "physical"
    n_images = 2


class TestKB(ScalingContract):
    name = "KB"
