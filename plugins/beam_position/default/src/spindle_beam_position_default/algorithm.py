"""The method ``default``: the detector is moved until the spots make a lattice."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from spindle.contracts import Algorithm, Citation, hookimpl
from spindle.contracts.beam_position import BeamPositionError, DetectorShift
from spindle.contracts.indexing import IndexingError
from spindle.models import Experiments
from spindle.params import Float, Int
from spindle.params import Params as ParamsBase
from spindle.table import ReflectionTable

from .criteria import MAX_VECTORS, WEAKEST

logger = logging.getLogger(__name__)


class LatticeBeamPosition(Algorithm):
    """Move the detector until the spots make a lattice (Sauter, Grosse-Kunstleve & Adams 2004).

    Lattice vectors are found by one-dimensional Fourier transforms. At the right beam position the Fourier sums of the
    spots over these vectors have the phase zero; a wide grid of shifts is searched for that, then the best places are
    refined together with the vectors. Spots of different orientations of the crystal tell apart places that are a whole
    distance between spots away from each other.
    """

    citations = (
        Citation(
            "Sauter, N. K. & Grosse-Kunstleve, R. W. & Adams, P. D.",
            2004,
            "Robust indexing for automatic data collection",
            "J. Appl. Cryst.",
            "37",
            "399-409",
            "10.1107/S0021889804005874",
        ),
    )

    class Params(ParamsBase):
        """The search for the shift of the detector."""

        max_cell = Float(
            None, min=0, max=5000, none=True, units="angstrom",
            help="Longest edge of a primitive cell to be expected; estimated from the distances between spots when not "
            "given.",
        )  # fmt: skip
        max_reflections = Int(10000, min=1, none=True, help="So many spots, chosen at random, are used at most.")
        mm_search_scope = Float(
            4.0,
            min=0.01,
            max=10_000,
            units="mm",
            help="Largest shift along either axis that is looked at, and that is accepted.",
        )
        wide_search_binning = Float(
            2, min=0.1, units="pixels",
            help="Step of the wide search; it is made finer where spots are close together.",
        )  # fmt: skip
        n_macro_cycles = Int(
            1,
            min=1,
            max=1000,
            help="How often vectors are found anew with the shift found last, and the shift with these.",
        )
        d_min = Float(None, min=0, none=True, units="angstrom", help="Leave out spots of higher resolution.")

    @hookimpl
    def find_detector_shift(
        self, sweeps: Experiments, spots: ReflectionTable, executor: Any, rng: np.random.Generator
    ) -> DetectorShift:
        """Search; see the class."""
        from .finder import ShiftFinder  # compiled kernels: not wanted by the help page

        def vectors_of(points: np.ndarray, max_cell: float) -> np.ndarray:
            return self._vectors(points, max_cell, executor)

        return ShiftFinder(sweeps, spots, self.params, vectors_of, executor, rng).run()

    def _vectors(self, points: np.ndarray, max_cell: float, executor: Any) -> np.ndarray:
        """Vectors (m, 3) of the lattice of some points (n, 3) 1/angstrom; empty when there is none."""
        if self.context is None:
            raise BeamPositionError(
                "default: this method asks the host for the indexing method fft1d: give it a context"
            )
        method = self.context.algorithm("indexing", "fft1d")
        try:
            found = method.find_basis_vectors(
                rlp=np.ascontiguousarray(points), min_cell=3.0, max_cell=max_cell, target_cell=None, executor=executor
            )
        except IndexingError as error:
            logger.debug("%s", error)
            return np.empty((0, 3))
        strong = found.weights >= WEAKEST * found.weights.max(initial=0.0)
        vectors = found.vectors[strong][:MAX_VECTORS]
        return vectors if len(vectors) >= 3 else found.vectors[:3]
