"""The first-party background models pass the contract that strangers' models have to pass."""

from __future__ import annotations

from spindle.testing.background import BackgroundContract


class TestGlmConstant3d(BackgroundContract):
    name = "glm"


class TestGlmConstant2d(BackgroundContract):
    name = "glm"
    parameters = {"model.algorithm": "constant2d"}


class TestGlmLoglinear2d(BackgroundContract):
    name = "glm"
    parameters = {"model.algorithm": "loglinear2d"}
    budget_us = 60.0  # fits a plane to the logarithm by iterations


class TestGlmLoglinear3d(BackgroundContract):
    name = "glm"
    parameters = {"model.algorithm": "loglinear3d"}
    budget_us = 60.0  # fits a plane to the logarithm by iterations


class TestSimpleConstant3d(BackgroundContract):
    name = "simple"


class TestSimpleConstant2d(BackgroundContract):
    name = "simple"
    parameters = {"model.algorithm": "constant2d"}


class TestSimpleLinear2d(BackgroundContract):
    name = "simple"
    parameters = {"model.algorithm": "linear2d", "outlier.algorithm": "plane"}


class TestSimpleLinear3d(BackgroundContract):
    name = "simple"
    parameters = {"model.algorithm": "linear3d", "outlier.algorithm": "normal"}


class TestSimpleNsigma(BackgroundContract):
    name = "simple"
    parameters = {"outlier.algorithm": "nsigma"}


class TestSimpleTruncated(BackgroundContract):
    name = "simple"
    parameters = {"outlier.algorithm": "truncated"}


class TestSimpleTukey(BackgroundContract):
    name = "simple"
    parameters = {"outlier.algorithm": "tukey"}


class TestMedian(BackgroundContract):
    name = "median"


class TestNull(BackgroundContract):
    name = "null"
    models_background = False


class TestAuto(BackgroundContract):
    name = "Auto"
