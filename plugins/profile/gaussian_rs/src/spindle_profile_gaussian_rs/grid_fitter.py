"""Reference profiles that are means of spots on the grid, and fits on the grid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spindle.contracts.profile import ProfileFit

from .fitter import ReferenceFitter
from .geometry import SpotGeometry
from .grid_kernels import fit_grid
from .samplers import Sampler

if TYPE_CHECKING:
    from spindle.table import ReflectionTable, Shoeboxes


class GridFitter(ReferenceFitter):
    """Fits in reciprocal space: pixels are spread over the grid of the reference profile (Kabsch 2010)."""

    def __init__(
        self,
        geometry: SpotGeometry,
        samplers: list[Sampler],
        n_sigma: float,
        grid_size: int,
        as_dials: bool,
        threshold: float = 0.0,
    ) -> None:
        super().__init__(geometry, samplers, n_sigma, grid_size, as_dials, threshold)
        self._sums = np.zeros((int(self.first[-1]), self.size, self.size, self.size))
        self._totals = np.zeros(int(self.first[-1]))

    def _call(
        self,
        reflections: ReflectionTable,
        shoeboxes: Shoeboxes,
        references: np.ndarray | None,
        expected: np.ndarray,
        background_variance: np.ndarray,
        only_transform: bool,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Spots on the grid of the profile (only where ``only_transform``), and their fits: value, variance, correlation."""
        frames, kz = self.geometry.frames(reflections)
        n = len(reflections)
        value, variance, correlation = np.zeros(n), np.zeros(n), np.zeros(n)
        grids = np.zeros((n if only_transform else 0, self.size, self.size, self.size), np.float32)
        fit_grid(
            frames,
            kz,
            np.ascontiguousarray(reflections["xyzcal.px"][:, 2]),
            shoeboxes.bbox,
            shoeboxes.offsets,
            shoeboxes.data,
            shoeboxes.mask,
            shoeboxes.background,
            np.ascontiguousarray(background_variance, dtype=np.float64),
            self.position(reflections),
            references,
            np.ascontiguousarray(expected, dtype=np.float64),
            self.step,
            self.as_dials,
            only_transform,
            grids,
            value,
            variance,
            correlation,
        )
        return grids, value, variance, correlation

    def learn(self, reflections: ReflectionTable, shoeboxes: Shoeboxes) -> np.ndarray:
        n = len(reflections)
        none = np.zeros((1, self.size, self.size, self.size))
        grids, *_ = self._call(reflections, shoeboxes, none, np.zeros(n), np.zeros(n), True)
        flat = grids.reshape(n, -1).astype(np.float64)
        total = flat.sum(axis=1)
        good = total > 0
        flat[good] /= total[good, None]
        xyz = reflections["xyzcal.px"]
        for i, rows in reflections.rows_by_experiment().items():
            sampler, mine = self.samplers[i], rows[good[rows]]
            places = sampler.places(xyz[mine], reflections["s1"][mine])
            for k in range(len(sampler)):
                weights = sampler.weights(places, k)
                near = weights > 0
                if near.any():
                    at = int(self.first[i]) + k
                    self._sums[at] += (weights[near] @ flat[mine[near]]).reshape(self._sums.shape[1:])
                    self._totals[at] += weights[near].sum()
                    self.counts[at] += np.count_nonzero(near)
        return good

    def finish(self, map: Any = map) -> None:
        positive = np.maximum(self._sums, 0.0)
        total = positive.sum(axis=(1, 2, 3))
        self.references = np.ascontiguousarray(positive / np.where(total > 0, total, 1.0)[:, None, None, None])
        self._made = total > 0
        self._cut_off()
        self._sums = np.zeros((0, 1, 1, 1))

    def fit(
        self,
        reflections: ReflectionTable,
        shoeboxes: Shoeboxes,
        expected: np.ndarray,
        background_variance: np.ndarray,
    ) -> ProfileFit:
        _, value, variance, correlation = self._call(
            reflections, shoeboxes, self.references, expected, background_variance, False
        )
        success = (variance > 0) & self._made[self.position(reflections)]
        return ProfileFit(np.where(success, value, 0.0), np.where(success, variance, -1.0), correlation, success)
