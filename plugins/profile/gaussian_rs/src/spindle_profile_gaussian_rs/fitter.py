"""Reference profiles learned from strong spots, and the fits made with them."""

from __future__ import annotations

import builtins
import functools
import math
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from spindle.contracts.profile import ProfileFit, ProfileFitter
from spindle.report import Table
from spindle.table import rows_by_value

from .geometry import SpotGeometry, growth
from .learning import SPOT_COUNTS, Accumulate, Improve, Learned, Piece, next_profile
from .model_error import ModelError, blended, model_error
from .model_kernels import model_counts
from .pixel_kernels import fit_pixels
from .samplers import Sampler
from .sigma import refine_sigma_m, refine_widths
from .tails import Tails, learn_tails

if TYPE_CHECKING:
    from spindle.table import ReflectionTable, Shoeboxes

EXTENT = 1.5  # half width of the grid of a reference profile in units of the radius of the foreground
FREE_STEPS = 6
HELD_STEPS = 6
LOCAL_STEPS = 4
SPOTS_PER_POSITION = 60
SPOTS_OVERALL = 2500
GLOBAL_PRIOR = 5 * SPOT_COUNTS  # the profile of the whole scan leans on a Gaussian of its own widths as on five spots
LOCAL_PRIOR = 10 * SPOT_COUNTS  # that of a position on the profile of the whole scan as on ten
MIN_COVERAGE = 0.1
MIN_ALONE = 0.15


def gaussian_profile(size: int, step: float, widths: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> np.ndarray:
    """(size, size, size) float64: a Gaussian on the grid, axes e2, e1, e3, sum 1; widths in units of the model's."""
    u = (np.arange(size) - 0.5 * (size - 1)) * step
    e2, e1 = (np.exp(-0.5 * (u / w) ** 2) for w in widths[:2])
    edges = (np.arange(size + 1) - 0.5 * size) * step / (math.sqrt(2.0) * widths[2])
    e3 = np.diff([math.erf(v) for v in edges])
    profile = e2[:, None, None] * e1[None, :, None] * e3[None, None, :]
    return np.ascontiguousarray(profile / profile.sum())


def profile_widths(profile: np.ndarray, step: float) -> tuple[float, float, float]:
    """Root mean square extent along e2, e1, e3, in units of the model's widths."""
    u2 = ((np.arange(profile.shape[0]) - 0.5 * (profile.shape[0] - 1)) * step) ** 2
    whole = profile.sum()
    out = [math.sqrt(float(np.tensordot(profile.sum(axis=other), u2, 1)) / whole) for other in ((1, 2), (0, 2), (0, 1))]
    return out[0], out[1], out[2]


class ReferenceFitter(ProfileFitter):
    """Reference profiles at positions over the detector and the scan.

    Parameters
    ----------
    geometry : SpotGeometry
        Makes local frames.
    samplers : list of Sampler
        Positions of reference profiles, one per experiment.
    n_sigma : float
        Radius of the foreground in units of sigma_b.
    grid_size : int
        The grid has 2 grid_size + 1 points in each direction.
    as_dials : bool
        Weights and variances of fits in DIALS's form.
    threshold : float
        Reference profiles are cut off below this share of their highest value.
    """

    def __init__(
        self,
        geometry: SpotGeometry,
        samplers: list[Sampler],
        n_sigma: float,
        grid_size: int,
        as_dials: bool,
        threshold: float = 0.0,
    ) -> None:
        self.geometry = geometry
        self.samplers = samplers
        self.size = 2 * grid_size + 1
        self.step = EXTENT * n_sigma / (grid_size + 0.5)
        self.first = np.concatenate([[0], np.cumsum([len(s) for s in samplers])]).astype(np.int64)
        self.counts = np.zeros(int(self.first[-1]), np.int64)
        self.references: np.ndarray | None = None
        self.as_dials = as_dials
        self.threshold = threshold

    def _cut_off(self) -> None:
        """Leave nothing of reference profiles below the threshold."""
        if self.threshold <= 0.0 or self.references is None:
            return
        highest = self.references.max(axis=(1, 2, 3), keepdims=True)
        cut = np.where(self.references < self.threshold * highest, 0.0, self.references)
        total = cut.sum(axis=(1, 2, 3), keepdims=True)
        self.references = np.ascontiguousarray(cut / np.where(total > 0.0, total, 1.0))

    def position(self, reflections: ReflectionTable) -> np.ndarray:
        """(n,) int64: index of the reference profile of each spot."""
        out = np.zeros(len(reflections), np.int64)
        for i, rows in reflections.rows_by_experiment().items():
            places = self.samplers[i].places(reflections["xyzcal.px"][rows], reflections["s1"][rows])
            out[rows] = self.first[i] + self.samplers[i].nearest(places)
        return out

    def choose(self, reflections: ReflectionTable) -> np.ndarray:
        """The brightest spots of each position, a third of them from each third of its resolution range."""
        position = self.position(reflections)
        by_resolution = np.lexsort((reflections["d"], position))
        first = np.searchsorted(position[by_resolution], position[by_resolution])
        number = np.bincount(position)[position[by_resolution]]
        cell = np.empty(len(position), np.int64)
        cell[by_resolution] = 3 * position[by_resolution] + 3 * (np.arange(len(first)) - first) // number
        order = np.lexsort((-reflections["intensity.sum.value"], cell))
        rank = np.arange(len(order)) - np.searchsorted(cell[order], cell[order])
        chosen = np.zeros(len(order), bool)
        chosen[order[rank < -(-SPOTS_PER_POSITION // 3)]] = True
        return chosen

    def models(self) -> list[dict[str, Any]]:
        """The models of the experiments, as learning left them."""
        return [dict(e.profile or {}) for e in self.geometry.experiments]

    def tables(self) -> list[Table]:
        """How many spots stand behind each reference profile."""
        rows = []
        for i, sampler in enumerate(self.samplers):
            for k, (x, y, z) in enumerate(sampler.positions):
                n = int(self.counts[self.first[i] + k])
                rows.append([i, k, n > 0, round(x, 2), round(y, 2), round(z, 2), n])
        headers = ["ID", "Profile", "Created", "X (px)", "Y (px)", "Z (im)", "# reflections"]
        return [Table("Summary of profile model", headers, rows, "integrate_profiles", True)]

    def reference_profiles(self) -> list[dict[str, Any]]:
        """The profiles, axes e2, e1, e3."""
        if self.references is None:
            return []
        out = []
        for i, sampler in enumerate(self.samplers):
            for k, position in enumerate(sampler.positions):
                at = int(self.first[i]) + k
                out.append(
                    {
                        "experiment": i,
                        "coord": position,
                        "data": self.references[at],
                        "n_reflections": int(self.counts[at]),
                    }
                )
        return out


@dataclass(frozen=True)
class _Fits:
    """Results of `fit_pixels`, each (n,) float64."""

    value: np.ndarray
    variance: np.ndarray
    correlation: np.ndarray
    summed: np.ndarray
    summed_variance: np.ndarray


class PixelFitter(ReferenceFitter):
    """Profiles finer than the pixel, learned by expectation maximisation and fitted to the pixels."""

    def __init__(
        self,
        geometry: SpotGeometry,
        samplers: list[Sampler],
        n_sigma: float,
        grid_size: int,
        as_dials: bool,
        deconvolution: bool = False,
        tails: bool = False,
        threshold: float = 0.0,
    ) -> None:
        super().__init__(geometry, samplers, n_sigma, grid_size, as_dials, threshold)
        self.n_sub = 4
        self.deconvolution = deconvolution
        self.counts_expected = not as_dials
        self.tails = tails
        self.slices: np.ndarray | None = None  # the references with axes e3, e2, e1
        self.found_tails: Tails | None = None
        self.error = ModelError()
        self._parts: list[Learned] = []

    def learn(self, reflections: ReflectionTable, shoeboxes: Shoeboxes) -> np.ndarray:
        frames, kz = self.geometry.frames(reflections)
        self._parts.append(
            Learned(
                frames,
                kz,
                reflections["xyzcal.px"],
                reflections["s1"],
                reflections["id"],
                shoeboxes.bbox,
                shoeboxes.offsets,
                shoeboxes.data,
                shoeboxes.mask,
                shoeboxes.background,
            )
        )
        return np.ones(len(reflections), bool)

    def _sub_samples(self, frames: np.ndarray) -> int:
        """Sample points per pixel edge: about two per grid cell."""
        e = frames[:: max(1, len(frames) // 100)]
        edge = (
            np.linalg.norm(e[:, 6:9], axis=1) * np.linalg.norm(e[:, 0:3], axis=1) / np.linalg.norm(e[:, 12:15], axis=1)
        )
        return int(np.clip(np.ceil(1.67 * np.median(edge) / self.step), 2, 8)) if len(e) else 4

    def finish(self, map: Any = None) -> None:
        map = builtins.map if map is None else map
        start = gaussian_profile(self.size, self.step)
        self.references = np.broadcast_to(start, (int(self.first[-1]), *start.shape)).copy()
        self.n_sub = 4
        parts = self._parts
        self._parts = []
        if not parts:
            self._ready()
            return
        shift = np.cumsum([0] + [int(p.offsets[-1]) for p in parts])
        spots = Learned(
            offsets=np.concatenate([[0]] + [p.offsets[1:] + s for p, s in zip(parts, shift, strict=False)]).astype(
                np.int64
            ),
            **{
                f.name: np.concatenate([getattr(p, f.name) for p in parts])
                for f in fields(Learned)
                if f.name != "offsets"
            },
        )
        rows_of = rows_by_value(spots.experiment)
        for i, mine in rows_of.items():
            self._refine_widths(i, mine, spots)
        self.n_sub = self._sub_samples(spots.frames)
        accumulate = Accumulate(self.step, self.n_sub)
        for i, mine in rows_of.items():
            sampler = self.samplers[i]
            some = np.ascontiguousarray(mine[:: max(1, -(-len(mine) // SPOTS_OVERALL))])
            # the work is cut into fixed pieces, so that the sums do not depend on the number of workers
            overall = start
            for _ in range(FREE_STEPS):
                overall = self._overall_step(accumulate, spots, some, overall, overall, 0.0, map)
            prior = gaussian_profile(self.size, self.step, profile_widths(overall, self.step))
            for _ in range(HELD_STEPS):
                overall = self._overall_step(accumulate, spots, some, overall, prior, GLOBAL_PRIOR, map)
            places = sampler.places(spots.xyz[mine], spots.s1[mine])
            jobs = []
            for position in range(len(sampler)):
                weights = sampler.weights(places, position)
                order = np.argsort(-weights, kind="stable")[:SPOTS_PER_POSITION]
                order = np.sort(order[weights[order] > 0.02])
                self.counts[self.first[i] + position] = len(order)
                jobs.append(Piece(spots, mine[order], np.ascontiguousarray(weights[order]), overall))
            for position, profile in enumerate(map(Improve(accumulate, LOCAL_STEPS, LOCAL_PRIOR), jobs)):
                self.references[self.first[i] + position] = profile
        self._ready()
        self._look_back(spots)

    def _ready(self) -> None:
        """Reference profiles as they are fitted."""
        self._cut_off()
        assert self.references is not None
        self.slices = np.ascontiguousarray(np.moveaxis(self.references, 3, 1))

    def _look_back(self, spots: Learned) -> None:
        """Fit the spots that were learned from: what profiles are wrong by, and what lies beyond them."""
        n = len(spots.kz)
        position = np.zeros(n, np.int64)
        for i, rows in rows_by_value(spots.experiment).items():
            places = self.samplers[i].places(spots.xyz[rows], spots.s1[rows])
            position[rows] = self.first[i] + self.samplers[i].nearest(places)
        pixels = (spots.bbox, spots.offsets, spots.data, spots.mask, spots.background)
        found = self._fitted(
            spots.frames, spots.kz, spots.xyz[:, 2], pixels, np.zeros(n), position, np.full(n, -1.0), np.zeros(0, np.float32)
        )  # fmt: skip
        if not self.as_dials:
            self.error = model_error(found.value, found.variance, found.summed, found.summed_variance)
        if self.tails:
            intensity = np.where(found.variance > 0, found.value, 0.0)
            self.found_tails = learn_tails(spots.xyz[:, :2], self._radius(spots.frames, spots.xyz), *pixels, intensity)

    def _radius(self, frames: np.ndarray, xyz: np.ndarray) -> np.ndarray:
        """(n,) float64, px: of circles as large as foregrounds, which hold all pixels that they touch."""
        edges = self.geometry.pixel_edges(frames, xyz)
        return np.asarray(np.sqrt(np.prod(self.step * self.size / (2 * EXTENT) / edges + 0.5, axis=1)))

    def recorded_share(self, reflections: ReflectionTable) -> np.ndarray:
        if self.found_tails is None:
            return np.ones(len(reflections))
        frames, _ = self.geometry.frames(reflections)
        return self.found_tails.share_within(self._radius(frames, reflections["xyzcal.px"]))

    def _refine_widths(self, index: int, rows: np.ndarray, spots: Learned) -> None:
        """Measure how widths grow with the diffraction angle once more, on whole spots, and rescale the spots kept."""
        experiment = self.geometry.experiments[index]
        if "sigma_e1" not in (experiment.profile or {}):
            return
        z, s1 = spots.xyz[rows, 2], spots.s1[rows]
        s0 = self.geometry.incident(experiment, z)
        old = self.geometry.widths(index, s1, s0, z)
        pixels = (spots.bbox[rows], spots.offsets[rows], spots.offsets[rows + 1], spots.data, spots.mask)
        under, along = (
            spots.background[spots.offsets[rows]].astype(np.float64),
            (spots.kz[rows], np.ascontiguousarray(z)),
        )
        refined = refine_widths(
            spots.frames[rows], *pixels, under, *along, old, growth(experiment, s1, s0), SPOT_COUNTS
        )  # fmt: skip
        if refined is None:
            return
        self.geometry.set_widths(index, refined)
        new = self.geometry.widths(index, s1, s0, z)
        spots.frames[rows, 0:3] *= (old[:, 0] / new[:, 0])[:, None]
        spots.frames[rows, 3:6] *= (old[:, 1] / new[:, 1])[:, None]
        factor = (
            None if experiment.is_still else refine_sigma_m(spots.frames[rows], *pixels, under, *along, SPOT_COUNTS)
        )
        if factor is not None:
            self.geometry.scale_sigma_m(index, factor)
            spots.kz[rows] /= factor

    @staticmethod
    def _overall_step(
        accumulate: Accumulate,
        spots: Learned,
        members: np.ndarray,
        profile: np.ndarray,
        prior: np.ndarray,
        prior_counts: float,
        map: Callable[..., Iterable[Any]],
    ) -> np.ndarray:
        pieces = [Piece(spots, part, np.ones(len(part)), profile) for part in np.array_split(members, 8)]
        sums = functools.reduce(operator.add, map(accumulate, pieces))
        return profile if sums.total <= 0.0 else next_profile(profile, sums, prior, prior_counts)

    def fit(
        self,
        reflections: ReflectionTable,
        shoeboxes: Shoeboxes,
        expected: np.ndarray,
        background_variance: np.ndarray,
    ) -> ProfileFit:
        frames, kz = self.geometry.frames(reflections)
        pixels = (shoeboxes.bbox, shoeboxes.offsets, shoeboxes.data, shoeboxes.mask, shoeboxes.background)
        z, position = reflections["xyzcal.px"][:, 2], self.position(reflections)
        profile = np.zeros(len(shoeboxes.data) if self.deconvolution else 0, np.float32)
        found = self._fitted(frames, kz, z, pixels, background_variance, position, expected, profile)
        value, variance = blended(found.value, found.variance, found.summed, found.summed_variance, self.error)
        return ProfileFit(
            value, variance, found.correlation, found.variance > 0, profile if self.deconvolution else None
        )

    def _fitted(
        self, frames: np.ndarray, kz: np.ndarray, z: np.ndarray, pixels: tuple[np.ndarray, ...], background_variance: np.ndarray,
        position: np.ndarray, expected: np.ndarray, profile: np.ndarray,
    ) -> _Fits:  # fmt: skip
        n = len(kz)
        fits, coverage = _Fits(*(np.zeros(n) for _ in range(5))), np.zeros(n)
        fit_pixels(
            frames, kz, np.ascontiguousarray(z), *pixels, np.ascontiguousarray(background_variance, dtype=np.float64),
            position, self.slices, np.ascontiguousarray(expected, dtype=np.float64), self.step, self.n_sub, MIN_COVERAGE,
            MIN_ALONE, self.as_dials, fits.value, fits.variance, fits.correlation, coverage, fits.summed, fits.summed_variance, profile,
        )  # fmt: skip
        return fits

    def expected_counts(self, reflections: ReflectionTable, shoeboxes: Shoeboxes, intensity: np.ndarray) -> np.ndarray:
        """(p,) float32: counts of spots of given intensities in the pixels of their shoeboxes."""
        frames, kz = self.geometry.frames(reflections)
        out = np.zeros(len(shoeboxes.data), np.float32)
        model_counts(
            frames,
            kz,
            np.ascontiguousarray(reflections["xyzcal.px"][:, 2]),
            shoeboxes.bbox,
            shoeboxes.offsets,
            self.position(reflections),
            self.slices,
            np.ascontiguousarray(intensity, dtype=np.float64),
            self.step,
            self.n_sub,
            out,
        )
        return out
