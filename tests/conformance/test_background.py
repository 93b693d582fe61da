"""The first-party background models pass the contract that strangers' models have to pass."""

from __future__ import annotations

import pytest
from spindle_background_glm import GlmBackground
from spindle_background_median import MedianBackground
from spindle_background_null import NullBackground
from spindle_background_simple import SimpleBackground

from spindle.testing.background import BackgroundContract


class TestGlm(BackgroundContract):
    @pytest.fixture(params=["constant2d", "constant3d", "loglinear2d", "loglinear3d"])
    def plugin(self, request):
        params = GlmBackground.Params()
        params.model.algorithm = request.param
        return GlmBackground(params)


class TestSimple(BackgroundContract):
    @pytest.fixture(params=["constant2d", "constant3d", "linear2d", "linear3d"])
    def plugin(self, request):
        params = SimpleBackground.Params()
        params.model.algorithm = request.param
        return SimpleBackground(params)


class TestSimpleWithOutlierRejection(BackgroundContract):
    @pytest.fixture(params=["nsigma", "truncated", "normal", "plane", "tukey"])
    def plugin(self, request):
        params = SimpleBackground.Params()
        params.outlier.algorithm = request.param
        return SimpleBackground(params)


class TestMedian(BackgroundContract):
    @pytest.fixture
    def plugin(self):
        return MedianBackground()


class TestNull(BackgroundContract):
    models_background = False

    @pytest.fixture
    def plugin(self):
        return NullBackground()
