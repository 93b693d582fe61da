"""The first-party profile models pass the contract that strangers' models have to pass."""

from __future__ import annotations

import pytest
from spindle_profile_gaussian_rs import GaussianRsProfile

from spindle.testing import PluginContract
from spindle.testing.profile import ProfileContract


class TestGaussianRsPlugin(PluginContract):
    slot = "profile"
    name = "gaussian_rs"


class TestGaussianRs(ProfileContract):
    @pytest.fixture(params=["anisotropic", "isotropic"])
    def plugin(self, request):
        return GaussianRsProfile(GaussianRsProfile.Params(widths=request.param))
