"""Plugins of a stranger for slots that programs know first-party plugins of: a profile, formats, executors, observers."""

from __future__ import annotations

import json
import multiprocessing
import pickle
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.format import ImageReader
from spindle.contracts.indexing import CrystalCandidate, IndexingError
from spindle.contracts.profile import ForegroundMasks, ProfileFit, ProfileFitter, ProfileSummary
from spindle.errors import Cancelled
from spindle.execution import run_item
from spindle.params import Bool, Float, Floats, Params, Str
from spindle.prediction import predict_static
from spindle.report import Table
from spindle.table import ReflectionTable


class Disc(Algorithm):
    """Spots as discs of a given radius, without profile fitting; its model has keys of its own."""

    class Params(Params):
        radius = Float(3.0, min=1, units="pixels", help="Radius of the foreground.")
        depth = Float(2.0, min=0.5, units="images", help="Half the number of images of a spot.")

    @hookimpl
    def estimate_profiles(self, experiments):
        model = {"__id__": "disc", "radius_px": self.params.radius, "depth": self.params.depth, "shape": "round"}
        return [dict(model) for _ in experiments]

    @hookimpl
    def bounding_boxes(self, experiments, reflections, border):
        x, y, z = reflections["xyzcal.px"].T
        images = np.array([e.scan.array_range for e in experiments])[reflections["id"]]
        r, depth = self.params.radius * border + 1, self.params.depth
        low = [np.floor(x - r), np.floor(y - r), np.clip(np.floor(z - depth), images[:, 0], images[:, 1] - 1)]
        high = [np.ceil(x + r), np.ceil(y + r), np.clip(np.ceil(z + depth), images[:, 0] + 1, images[:, 1])]
        return np.stack([v for pair in zip(low, high, strict=True) for v in pair], axis=1).astype(np.int32)

    @hookimpl
    def foreground(self, reflections, bbox):
        offsets = ForegroundMasks.offsets_of(bbox)
        inside = np.zeros(offsets[-1], np.uint8)
        for i, (box, (x, y, _)) in enumerate(zip(bbox, reflections["xyzcal.px"], strict=True)):
            dy, dx = np.mgrid[box[2] : box[3], box[0] : box[1]] + 0.5
            inside[offsets[i] : offsets[i + 1]] = (np.hypot(dx - x, dy - y) <= self.params.radius).reshape(-1)
        return ForegroundMasks(offsets, inside)

    @hookimpl
    def partiality(self, reflections):
        return np.ones(len(reflections))

    @hookimpl
    def make_fitter(self):
        return None


class BallFitter(ProfileFitter):
    """Photons in the ball, as many as there are; leaves everything else to the defaults."""

    def __init__(self, models):
        self._models = models
        self.n_learned = 0

    def learn(self, reflections, shoeboxes):
        self.n_learned += len(reflections)
        return np.ones(len(reflections), np.bool_)

    def finish(self, map=None):
        for model in self._models:
            model["n_learned"] = self.n_learned

    def fit(self, reflections, shoeboxes, expected, background_variance):
        own = (shoeboxes.mask & 5) == 5
        box = np.repeat(np.arange(len(shoeboxes)), np.diff(shoeboxes.offsets))[own]
        value = np.bincount(box, (shoeboxes.data - shoeboxes.background)[own], len(shoeboxes))
        variance = np.bincount(box, np.abs(shoeboxes.data[own]), len(shoeboxes)) + 1.0
        return ProfileFit(value, variance, np.zeros(len(value)), np.ones(len(value), np.bool_))

    def models(self):
        return self._models


class Ball(Disc):
    """Spots as balls: the foreground shrinks from image to image. It predicts only what is seen well within the scan."""

    @hookimpl
    def estimate_profiles(self, experiments):
        model = {"__id__": "ball", "radius_px": self.params.radius, "width": 0.07}
        return [dict(model) for _ in experiments]

    @hookimpl
    def predict_reflections(self, experiments, d_min, d_max, padding):
        parts = [predict_static(e, i, d_min, d_max, padding) for i, e in enumerate(experiments)]
        ends = [e.scan.array_range for e in experiments]
        inside = [(t["xyzcal.px"][:, 2] > a + 2) & (t["xyzcal.px"][:, 2] < b - 2) for t, (a, b) in zip(parts, ends)]
        return ReflectionTable.concatenate([t.select(i) for t, i in zip(parts, inside, strict=True)])

    @hookimpl
    def foreground(self, reflections, bbox):
        offsets = ForegroundMasks.offsets_of(bbox, each_image=True)
        inside = np.zeros(offsets[-1], np.uint8)
        for i, (box, (x, y, z)) in enumerate(zip(bbox, reflections["xyzcal.px"], strict=True)):
            dz, dy, dx = np.mgrid[box[4] : box[5], box[2] : box[3], box[0] : box[1]] + 0.5
            r, depth = self.params.radius, self.params.depth + 0.5
            away = np.hypot((dx - x) / r, (dy - y) / r) ** 2 + ((dz - z) / depth) ** 2
            inside[offsets[i] : offsets[i + 1]] = (away <= 1).reshape(-1)
        return ForegroundMasks(offsets, inside)

    @hookimpl
    def make_fitter(self, experiments):
        return BallFitter([dict(e.profile) for e in experiments])

    @hookimpl
    def describe_model(self, model):
        widths = {"width": model["width"]}
        rows = [["radius (pixels)", f"{model['radius_px']:g}"], ["learned from", model.get("n_learned", 0)]]
        return ProfileSummary(widths, "", widths, Table("Balls", ["", "value"], rows, "balls"))


class TurnedReader(ImageReader):
    """Images of another format, turned upside down if asked for."""

    def __init__(self, inner, flip):
        self.inner, self.flip, self.path, self.format = inner, flip, inner.path, "something else"

    def models(self, index=0):
        return self.inner.models(index)

    def read(self, index=0, out=None):
        panels = self.inner.read(index, out)
        return [np.ascontiguousarray(p[::-1]) if self.flip else p for p in panels]


class Beamline(Algorithm):
    """A beamline's variant of CBF: files that begin with its name."""

    specialises = "cbf"
    begins = "variant_"

    class Params(Params):
        flip = Bool(True, help="Turn images upside down.")

    @hookimpl
    def understand(self, path, head):
        return path.name.startswith(self.begins) and b"_array_data" in head

    @hookimpl
    def open_image(self, path, head, options):
        return TurnedReader(self.context.algorithm("format", "cbf").open_image(path, head, options), self.params.flip)


class BeamlineTwo(Beamline):
    """A variant of the variant."""

    specialises = "beamline"
    begins = "variant_two_"


def pack(value):
    return pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)


def in_parcel(parcel):
    """Do an item that came as bytes, and send the result back as bytes."""
    function, index, item = pickle.loads(parcel)
    return pack(run_item(function, index, item))


class Parcels(Algorithm):
    """Sends every task and result through pickle, as an executor does that leaves the process."""

    @hookimpl
    def map_ordered(self, function, items, n_workers, cancelled):
        there = pickle.loads(pack(function))  # once, as to a worker
        for index, item in enumerate(items):
            if cancelled():
                raise Cancelled("the run was cancelled")
            yield pickle.loads(pack(run_item(there, index, pickle.loads(pack(item)))))


class Apart(Algorithm):
    """Does items in processes that know nothing of this one."""

    @hookimpl
    def map_ordered(self, function, items, n_workers, cancelled):
        with ProcessPoolExecutor(n_workers, multiprocessing.get_context("spawn")) as pool:
            waiting = deque()
            for index, item in enumerate(items):
                waiting.append(pool.submit(in_parcel, pack((function, index, item))))
                if len(waiting) > n_workers:
                    yield pickle.loads(waiting.popleft().result())
            while waiting:
                yield pickle.loads(waiting.popleft().result())


class JsonLines(Algorithm):
    """Writes a line per event."""

    class Params(Params):
        file = Str("events.jsonl", help="File to write.")

    @hookimpl
    def step_finished(self, program, seconds):
        with open(self.params.file, "a", encoding="utf-8") as stream:
            stream.write(json.dumps({"finished": program}) + "\n")


class FailsOften(Algorithm):
    """Fails at every event."""

    @hookimpl
    def step_started(self, program):
        raise KeyError("no such thing")

    @hookimpl
    def step_finished(self, program, result):
        raise ZeroDivisionError("the disk is full")


class ForgetsToReturn(Algorithm):
    """Wraps hooks and forgets what they return."""

    @hookimpl(wrapper=True)
    def estimate_background(self):
        yield

    @hookimpl(wrapper=True)
    def find_strong(self):
        yield


@dataclass(frozen=True)
class Score:
    """How many points fall near those of a lattice."""

    rlp: np.ndarray

    def __call__(self, A):
        fraction = self.rlp @ np.linalg.inv(A).T
        return float(np.mean(np.abs(fraction - np.rint(fraction)).max(axis=1) < 0.2))


class Remembers(Algorithm):
    """Crystals that somebody has noted down, those first that most of the spots agree with."""

    class Params(Params):
        A = Floats(None, help="Setting matrices, nine numbers each.")

    @hookimpl
    def find_crystals(self, sweeps, spots, executor):
        if self.params.A is None:
            raise IndexingError("remembers: give the crystals with A=")
        noted = list(np.array(self.params.A).reshape(-1, 3, 3))
        found = executor.map(Score(spots["rlp"]), noted)
        candidates = [CrystalCandidate(A, score) for A, score in zip(noted, found, strict=True)]
        return sorted(candidates, key=lambda c: -c.weight)
