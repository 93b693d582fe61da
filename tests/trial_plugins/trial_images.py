"""Plugins of a stranger around images: a threshold that takes several images at once, and a centroid."""

from __future__ import annotations

import numpy as np

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.centroid import Centroids
from spindle.contracts.exporter import Export
from spindle.params import Float, Params

batches: list[int] = []


class Above(Algorithm):
    """Strong is what is above a number of counts; four images are looked at together."""

    images_at_once = 4

    class Params(Params):
        counts = Float(60.0, help="Counts of a strong pixel.")

    @hookimpl
    def find_strong(self, image, mask):
        return mask & (image > self.params.counts)

    @hookimpl
    def find_strong_batch(self, images):
        batches.append(len(images))
        stack = np.concatenate([i.image.ravel() for i in images]) > self.params.counts
        ends = np.cumsum([i.image.size for i in images])[:-1]
        return [s.reshape(i.image.shape) & i.mask for s, i in zip(np.split(stack, ends), images, strict=True)]


class AboveAlone(Above):
    """The same, image by image."""

    @hookimpl
    def find_strong(self, image, mask):
        return mask & (image > self.params.counts)

    find_strong_batch = None


class Middle(Algorithm):
    """The middle of each box."""

    @hookimpl
    def compute_centroids(self, shoeboxes):
        bbox = shoeboxes.bbox.reshape(-1, 3, 2).astype(np.float64)
        n = len(bbox)
        return Centroids(bbox.mean(axis=2), np.full((n, 3), 0.25), np.ones(n, np.bool_))


class Listed(Algorithm):
    """Indices and intensities as text; knows nothing of panels, and needs no experiments."""

    needs = frozenset({"reflections"})

    @hookimpl
    def export(self, experiments, reflections, path):
        rows = np.column_stack([reflections["miller_index"], reflections["intensity.sum.value"]])
        name = path or "listed.txt"
        return Export(files={name: lambda file: np.savetxt(file, rows)}, messages=[f"{name}: summed intensities"])
