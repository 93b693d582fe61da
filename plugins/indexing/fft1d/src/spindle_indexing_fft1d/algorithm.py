"""The fft1d indexing method."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np

from spindle.contracts import Algorithm, Citation, hookimpl
from spindle.contracts.indexing import BasisVectors, IndexingError
from spindle.geometry import hemisphere
from spindle.params import Float
from spindle.params import Params as ParamsBase
from spindle.report import DETAIL

from .directions import local_grid, separated

logger = logging.getLogger(__name__)

#: Slots of a histogram per period of max_cell.
GRANULARITY = 5.0
#: Fourier coefficients below this are never looked at.
FIRST_COEFFICIENT = 3
#: A direction counts when its coefficient is at least this fraction of the number of points.
SIGNIFICANT = 0.25
#: Winners that are refined, and the angles (rad, degrees) between winners before and after.
N_WINNERS, BETWEEN_WINNERS, BETWEEN_VECTORS_DEG = 30, 0.087, 10.0
#: Limits of the automatic distance between directions, rad.
SMALLEST_GRID, LARGEST_GRID = 0.01, 0.029
#: Spots beyond max_cell divided by this are left out, but so many stay: directions go with its square, time with its cube.
MOST_PERIODS, ENOUGH = 128.0, 200
#: Directions per task: bounds the memory.
BLOCK = 256


class Fft1dIndexing(Algorithm):
    """One-dimensional Fourier transforms along many directions (Steller, Bolotovsky & Rossmann 1997)."""

    citations = (
        Citation(
            "Steller, I. & Bolotovsky, R. & Rossmann, M. G.",
            1997,
            "An algorithm for automatic indexing of oscillation images using Fourier analysis",
            "J. Appl. Cryst.",
            "30",
            "1036-1040",
        ),
    )

    class Params(ParamsBase):
        """The search over directions."""

        characteristic_grid = Float(
            None, min=0.001, none=True, level=1, units="rad",
            help="Distance between directions; by default 2 d_min / max_cell, from 0.01 to 0.029.",
        )  # fmt: skip

    @hookimpl
    def find_basis_vectors(self, rlp: np.ndarray, min_cell: float, max_cell: float, executor: Any) -> BasisVectors:
        """Directions with the largest Fourier coefficients, refined, with their periods."""
        if len(rlp) <= 7:
            raise IndexingError(f"fft1d: {len(rlp)} spots are too few, at least 8 are needed")
        length = np.linalg.norm(rlp, axis=1)
        reach = max(MOST_PERIODS / max_cell, float(np.sort(length)[min(ENOUGH, len(length)) - 1]))
        inner = length <= reach
        if not inner.all():
            logger.info("Leaving out %d spots beyond %.2f Angstrom", np.count_nonzero(~inner), 1 / reach, extra=DETAIL)
            rlp, length = rlp[inner], length[inner]
        d_min = float(1 / length.max())
        step = self.params.characteristic_grid or min(LARGEST_GRID, max(2 * d_min / max_cell, SMALLEST_GRID))
        search = _Search(np.array(rlp.T, dtype=np.float64, order="C"), min_cell, max_cell, executor)
        directions = hemisphere(step)
        logger.info("Trying %d directions, %.4f rad apart", len(directions), step, extra=DETAIL)
        value, period = search.transform(directions)
        good = np.flatnonzero((value > SIGNIFICANT * len(rlp)) & (period < max_cell))
        good = good[np.argsort(-value[good], kind="stable")]
        good = good[separated(directions[good], BETWEEN_WINNERS, N_WINNERS)]
        if len(good) == 0:
            return BasisVectors(np.empty((0, 3)), np.empty(0), d_min, len(rlp))
        directions, value, period = search.climb(directions[good], step)
        keep = period < max_cell
        directions, value, period = directions[keep], value[keep], period[keep]
        order = np.argsort(-value, kind="stable")
        order = order[separated(directions[order], np.radians(BETWEEN_VECTORS_DEG), len(order))]
        vectors = directions[order] * period[order, None]
        logger.info("Number of unique vectors: %d", len(vectors), extra=DETAIL)
        return BasisVectors(vectors, value[order], d_min, len(rlp))


@dataclass(frozen=True)
class _Project:
    """Fourier transform of projections of points; attributes as those of `_Search`."""

    points: np.ndarray
    min_cell: float
    resolution: float
    length: int

    def __call__(self, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Largest coefficient along each direction and the period there."""
        from scipy.fft import rfft

        from .kernels import project

        histograms = np.zeros((len(directions), self.length), dtype=np.float32)
        project(self.points, directions, self.resolution, histograms)
        size = np.abs(rfft(histograms, axis=1))
        # Slow variations are the shape of the cloud of points, and no lattice is that fine.
        size[:, : max(int(np.ceil(self.min_cell * self.length / self.resolution)), FIRST_COEFFICIENT)] = 0
        best = np.argmax(size, axis=1)
        return size[np.arange(len(best)), best].astype(float), best * self.resolution / self.length


class _Search:
    """Fourier coefficients of projections of a set of points."""

    def __init__(self, points: np.ndarray, min_cell: float, max_cell: float, executor: Any) -> None:
        from scipy.fft import next_fast_len

        self.points, self.min_cell, self.executor = points, min_cell, executor
        self.resolution = GRANULARITY * max_cell
        longest = 2 * float(np.linalg.norm(points, axis=0).max())
        self.length = int(next_fast_len(int(longest * self.resolution) + 2, real=True))

    def transform(self, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Largest coefficient along each direction and the period of the projections' lattice, each (m,)."""
        blocks = [np.ascontiguousarray(directions[i : i + BLOCK]) for i in range(0, len(directions), BLOCK)]
        results = list(self.executor.map(_Project(self.points, self.min_cell, self.resolution, self.length), blocks))
        return np.concatenate([r[0] for r in results]), np.concatenate([r[1] for r in results])

    def climb(self, directions: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Move each direction to the largest coefficient near it, with ever smaller steps."""
        directions = directions.copy()
        value, period = self.transform(directions)
        while step > 1e-4:
            for _ in range(20):
                trial = local_grid(directions, step / 2)
                trial_value, trial_period = self.transform(trial.reshape(-1, 3))
                trial_value = trial_value.reshape(len(directions), -1)
                best = np.argmax(trial_value, axis=1)
                rows = np.arange(len(directions))
                better = trial_value[rows, best] > value
                if not better.any():
                    break
                directions[better] = trial[rows, best][better]
                value[better] = trial_value[rows, best][better]
                period[better] = trial_period.reshape(len(directions), -1)[rows, best][better]
            step /= 2
        return directions, value, period
