"""Plugins that import well and do what their contract forbids; one class per slot and kind of fault."""

import sys
from dataclasses import replace

import numpy as np

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.background import BackgroundEstimate
from spindle.contracts.beam_position import AxisCentre
from spindle.contracts.centroid import Centroids
from spindle.contracts.error_model import ErrorModelFit
from spindle.contracts.exporter import Export
from spindle.contracts.indexing import BasisVectors
from spindle.contracts.scaling import ScaleTerm, ScalingModel


def flat(boxes):
    n, p = len(boxes), len(boxes.data)
    one = np.ones(n)
    return BackgroundEstimate(
        np.full(p, 3.0, np.float32), np.zeros(p, np.bool_), 3 * one, one, one, np.ones(n, np.bool_)
    )


class Background(Algorithm):
    """A background that is right, for its sons to spoil."""

    def spoil(self, estimate, shoeboxes):
        return estimate

    @hookimpl
    def estimate_background(self, shoeboxes):
        return self.spoil(flat(shoeboxes), shoeboxes)


class BackgroundNone(Background):
    def spoil(self, estimate, shoeboxes):
        return None


class BackgroundTuple(Background):
    def spoil(self, estimate, shoeboxes):
        return (estimate.background, estimate.success)


class BackgroundNan(Background):
    def spoil(self, estimate, shoeboxes):
        estimate.background[shoeboxes.offsets[1] + 2] = np.nan
        return estimate


class BackgroundShort(Background):
    def spoil(self, estimate, shoeboxes):
        return replace(estimate, background=estimate.background[:-3])


class BackgroundDtype(Background):
    def spoil(self, estimate, shoeboxes):
        return replace(estimate, success=estimate.success.astype(np.int64))


class BackgroundWrites(Background):
    def spoil(self, estimate, shoeboxes):
        shoeboxes.data[:] = 0
        return estimate


class BackgroundRaises(Background):
    def spoil(self, estimate, shoeboxes):
        return {}["nothing"]


class BackgroundExits(Background):
    def spoil(self, estimate, shoeboxes):
        sys.exit("licence expired")


class BackgroundNegative(Background):
    def spoil(self, estimate, shoeboxes):
        return replace(estimate, mean_variance=np.full(len(shoeboxes), -1.0))


class ThresholdInt(Algorithm):
    @hookimpl
    def find_strong(self, image):
        return (image > 5).astype(np.int32)


class ThresholdMasked(Algorithm):
    @hookimpl
    def find_strong(self, image):
        return np.ones(image.shape, np.bool_)


class ThresholdShape(Algorithm):
    @hookimpl
    def find_strong(self, image):
        return np.zeros(image.shape[::-1], np.bool_)


class ThresholdWrites(Algorithm):
    @hookimpl
    def find_strong(self, image, mask):
        image[~mask] = 0
        return image > 100


class CentroidNan(Algorithm):
    @hookimpl
    def compute_centroids(self, shoeboxes):
        n = len(shoeboxes)
        return Centroids(np.full((n, 3), np.nan), np.zeros((n, 3)), np.ones(n, np.bool_))


class CentroidNegative(CentroidNan):
    @hookimpl
    def compute_centroids(self, shoeboxes):
        n = len(shoeboxes)
        return Centroids(np.zeros((n, 3)), np.full((n, 3), -1.0), np.ones(n, np.bool_))


class OutlierShort(Algorithm):
    @hookimpl
    def find_outliers(self, residuals):
        return np.zeros(len(residuals) - 1, np.bool_)


class OutlierRows(Algorithm):
    @hookimpl
    def find_outliers(self, residuals):
        return np.array([0, 3])


class OutlierSorts(Algorithm):
    @hookimpl
    def find_outliers(self, residuals):
        residuals.sort(axis=0)
        return np.zeros(len(residuals), np.bool_)


class IndexingSingle(Algorithm):
    @hookimpl
    def find_basis_vectors(self, rlp):
        return BasisVectors(np.eye(3, dtype=np.float32), np.ones(3), 2.0, 10)


class IndexingNan(Algorithm):
    @hookimpl
    def find_basis_vectors(self, rlp):
        return BasisVectors(np.full((2, 3), np.inf), np.ones(2), 2.0, 10)


class ErrorModelNan(Algorithm):
    @hookimpl
    def fit_error_model(self, observations):
        return self.default_error_model()

    @hookimpl
    def default_error_model(self):
        return ErrorModelFit("mine", (1.0, float("nan")))

    @hookimpl
    def corrected_variance(self, variance):
        return variance


class ErrorModelNegative(ErrorModelNan):
    @hookimpl
    def default_error_model(self):
        return ErrorModelFit("mine", (1.0,))

    @hookimpl
    def corrected_variance(self, variance):
        return variance - 15.0


class ErrorModelWrites(ErrorModelNegative):
    @hookimpl
    def corrected_variance(self, variance):
        variance *= 2
        return variance


class ScalingNan(Algorithm):
    @hookimpl
    def build_scaling_model(self, observations):
        n = len(observations)
        term = ScaleTerm("scale", np.ones(1), np.zeros((1, 1), np.int32), np.full((n, 1), np.nan))
        return ScalingModel("mine", (term,))


class ScalingShort(Algorithm):
    @hookimpl
    def build_scaling_model(self, observations):
        return ScalingModel("mine", (ScaleTerm("scale", np.ones(1), np.zeros((1, 1), np.int32), np.ones((7, 1))),))


class BeamPositionOne(Algorithm):
    @hookimpl
    def find_centre(self, image, axes):
        return (AxisCentre(10.0, 1.0, 1.0, np.zeros(64)),)


class BeamPositionNan(Algorithm):
    @hookimpl
    def find_centre(self, image, axes):
        return tuple(AxisCentre(float("nan"), 1.0, 1.0, np.zeros(64)) for _ in axes)


class ExporterText(Algorithm):
    @hookimpl
    def export_merged(self, merged, path):
        return Export({path: "the text of the file"})


class ExporterNothing(Algorithm):
    @hookimpl
    def export_merged(self, merged, path):
        return Export()


class ExecutorNone(Algorithm):
    @hookimpl
    def map_ordered(self, function, items):
        list(map(function, items))


class ExecutorShuffles(Algorithm):
    @hookimpl
    def map_ordered(self, function, items):
        return reversed([function(i) for i in items])
