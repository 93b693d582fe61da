"""The first-party profile models pass the contract that strangers' models have to pass."""

from __future__ import annotations

from spindle.testing.profile import ProfileContract


class TestGaussianRs(ProfileContract):
    name = "gaussian_rs"
    parameters = {"widths": "anisotropic"}


class TestGaussianRsOfEqualWidths(ProfileContract):
    name = "gaussian_rs"
    parameters = {"widths": "isotropic"}


class TestEllipsoid(ProfileContract):
    name = "ellipsoid"
