"""The plugins pass the contracts of their slots."""

from spindle.testing.background import BackgroundContract
from spindle.testing.observer import ObserverContract
from spindle.testing.threshold import ThresholdContract


class TestTrimmedMean(BackgroundContract):
    name = "trimmed_mean"
    fewest_counts = 0.3  # below, what is trimmed is most of what there is


class TestTrimmedMeanOfHalf(BackgroundContract):
    name = "trimmed_mean"
    parameters = {"fraction": 0.25}
    fewest_counts = 5.0  # what is trimmed on both sides of a skewed distribution lowers the mean


class TestBoxMean(ThresholdContract):
    name = "box_mean"


class TestStrongShare(ObserverContract):
    name = "strong_share"
