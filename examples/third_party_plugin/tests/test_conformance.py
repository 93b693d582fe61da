"""The plugins pass the contracts of their slots."""

from spindle.testing.background import BackgroundContract
from spindle.testing.threshold import ThresholdContract


class TestTrimmedMean(BackgroundContract):
    name = "trimmed_mean"


class TestTrimmedMeanOfHalf(BackgroundContract):
    name = "trimmed_mean"
    parameters = {"fraction": 0.25}


class TestBoxMean(ThresholdContract):
    name = "box_mean"
