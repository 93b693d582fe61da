"""The method ``default``: the detector is moved until the spots make a lattice."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.beam_position import BeamPositionError, DetectorShift
from spindle.contracts.indexing import IndexingError
from spindle.models import Experiments
from spindle.params import Float, Int
from spindle.params import Params as ParamsBase
from spindle.table import ReflectionTable

logger = logging.getLogger(__name__)

#: A sweep or still with fewer spots says nothing.
MIN_SPOTS = 10
#: Vectors per lattice: at most, and how much weaker than the best one they may be.
MAX_VECTORS, WEAKEST = 20, 0.5
#: Stills that are looked at, those with most spots.
MAX_STILLS = 30
#: A fit better than this needs no second search with parts of the rotation.
CONVINCING = 0.8
#: What a fit must reach: at least, in units of 1 / root(number of spots) (noise reaches 3.5), and never more than.
LEAST_QUALITY, ABOVE_CHANCE, HIGHEST_ASKED = 0.25, 5.0, 0.9
#: Points must spread over so many periods of a vector (standard deviation) to tell a lattice from their outline.
LEAST_SPREAD = 0.8
#: The estimate of the longest cell edge is too small for stills, which show few neighbouring lattice points.
LONGER = 1.7
#: Places nearly as good as the best are rivals, by the fit and by what lacks to a perfect one, so many times that of the
#: best (plus what few spots let it vary by chance); places that might be, so many at most, get vectors of their own first.
RIVAL, RIVAL_MISFIT, MAYBE, MAX_RIVALS = 0.1, 1.5, 0.25, 6
#: Vectors whose phases fit this much worse than those of the best are dropped in the end.
WEAKEST_FIT = 0.8
#: Parts of the rotation for far shifts: width (degrees), number, and fewest spots in each.
WEDGE_DEG, N_WEDGES, WEDGE_SPOTS = 8.0, 6, 40
#: A spot within this part of a turn of the lattice for three vectors lies on it.
ON_LATTICE = 0.2
#: Spots with which candidates are compared, and with which vectors are found; the last fit has them all.
SCREEN_SPOTS, VECTOR_SPOTS = 1500, 2500


class LatticeBeamPosition(Algorithm):
    """Move the detector until the spots make a lattice (Sauter, Grosse-Kunstleve & Adams 2004).

    Lattice vectors are found by one-dimensional Fourier transforms. At the right beam position the Fourier sums of the
    spots over these vectors have the phase zero; a wide grid of shifts is searched for that, then the best places are
    refined together with the vectors. Spots of different orientations of the crystal tell apart places that are a whole
    distance between spots away from each other.
    """

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
