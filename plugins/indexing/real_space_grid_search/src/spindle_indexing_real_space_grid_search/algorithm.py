"""The real_space_grid_search indexing method."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import numpy as np

from spindle.contracts import Algorithm, Citation, hookimpl
from spindle.contracts.indexing import BasisVectors, IndexingError
from spindle.geometry import hemisphere
from spindle.params import Float, Int
from spindle.params import Params as ParamsBase
from spindle.report import DETAIL

logger = logging.getLogger(__name__)

#: Directions per task.
BLOCK = 512
#: Two vectors are one when their lengths differ by less than this fraction and their directions by less than this.
SAME_LENGTH, SAME_DIRECTION_DEG = 0.1, 5.0


class RealSpaceGridSearchIndexing(Algorithm):
    """Vectors of the known cell's lengths in the directions that agree best with the spots (Gildea et al. 2014)."""

    citations = (
        Citation(
            "Gildea, R. J. et al.",
            2014,
            "New methods for indexing multi-lattice diffraction data",
            "Acta Cryst. D",
            "70",
            "2652-2666",
            "10.1107/S1399004714017039",
        ),
    )

    class Params(ParamsBase):
        """The search over directions for a known cell."""

        characteristic_grid = Float(0.02, min=0.001, level=1, units="rad", help="Distance between directions.")
        max_vectors = Int(30, min=3, max=100_000, level=1, help="Most vectors to keep.")

    @hookimpl
    def find_basis_vectors(self, rlp: np.ndarray, target_cell: np.ndarray | None, executor: Any) -> BasisVectors:
        """Vectors with the largest sum of cosines, the best first."""
        if target_cell is None:
            raise IndexingError(
                "indexing.method=real_space_grid_search needs the unit cell: give unit_cell= (and space_group=), or "
                "use indexing.method=fft3d"
            )
        if len(rlp) == 0:
            raise IndexingError("real_space_grid_search: there are no spots to index")
        logger.info("Indexing from %d reflections", len(rlp), extra=DETAIL)
        directions = hemisphere(self.params.characteristic_grid)
        lengths = np.unique(np.round(target_cell[:3], 6))
        vectors = (lengths[:, None, None] * directions).reshape(-1, 3)
        # Single precision is enough to rank directions: phases reach some hundred turns at most.
        points = np.ascontiguousarray(rlp.T, dtype=np.float32)
        blocks = [vectors[i : i + BLOCK] for i in range(0, len(vectors), BLOCK)]
        scores = np.concatenate(list(executor.map(partial(_score, points=points), blocks)))
        order = np.argsort(-scores, kind="stable")
        kept = distinct(vectors[order], self.params.max_vectors)
        logger.info("Number of unique vectors: %d", len(kept), extra=DETAIL)
        d_min = 1 / float(np.linalg.norm(rlp, axis=1).max())
        return BasisVectors(vectors[order][kept], scores[order][kept], d_min, len(rlp))


def _score(vectors: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Sum of cos(2 pi r . v) over the points (3, n), for each vector."""
    turns = vectors.astype(np.float32) @ points
    return np.asarray(np.cos(2 * np.pi * (turns - np.rint(turns))).sum(axis=1, dtype=np.float64))


def distinct(vectors: np.ndarray, limit: int) -> list[int]:
    """Rows of the first `limit` vectors that are not equal or opposite to an earlier one."""
    lengths = np.linalg.norm(vectors, axis=1)
    unit = vectors / lengths[:, None]
    alive = np.ones(len(vectors), dtype=bool)
    kept: list[int] = []
    while len(kept) < limit and alive.any():
        best = int(np.argmax(alive))
        kept.append(best)
        same_length = np.abs(lengths - lengths[best]) < SAME_LENGTH * np.maximum(lengths, lengths[best])
        same_direction = np.abs(unit @ unit[best]) > np.cos(np.radians(SAME_DIRECTION_DEG))
        alive &= ~(same_length & same_direction)
    return kept
