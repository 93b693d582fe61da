"""Several lattices in the same spots: which are to be kept, which spots are free, which are not to be believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from spindle.contracts.refiner import RefinementResult
from spindle.models import Crystal, Experiments
from spindle.prediction import predict_for_indexed, predict_stills_for_indexed
from spindle.table import Flag, ReflectionTable

from .evidence import Evidence, share
from .judgement import fault
from .orientation import primitive_basis
from .spot_frames import SpotFrames

#: A spot whose probability to belong to any lattice is less is free; one that belongs to its own with less is not refined with.
FREE, UNLIKELY = 0.5, 0.1
#: When less than this part of the spots is free, and there is one lattice, chance does no harm to its refinement.
CLEAN = 0.3


def matrix_of(crystal: Crystal) -> np.ndarray:
    """(3, 3) float64, 1/angstrom: A of a primitive basis."""
    return np.linalg.inv(primitive_basis(crystal))


def least_convincing(frames: SpotFrames, crystals: Sequence[Crystal]) -> tuple[int, Evidence, str] | None:
    """The worst of the lattices that do not convince beside the others, and why; None when all do."""
    lattices = share(frames, [matrix_of(c) for c in crystals]).lattices
    faults = [fault(lattice, [o for o in lattices if o is not lattice]) for lattice in lattices]
    bad = [i for i, text in enumerate(faults) if text]
    if not bad:
        return None
    worst = min(bad, key=lambda i: lattices[i].gain)
    return worst, lattices[worst], faults[worst]


def probabilities(frames: SpotFrames, crystals: Sequence[Crystal]) -> np.ndarray:
    """(n, m) float64: of each spot to belong to each lattice."""
    return share(frames, [matrix_of(c) for c in crystals]).posterior


def free_spots(frames: SpotFrames, crystals: Sequence[Crystal], harmonic: int = 0) -> np.ndarray:
    """(n,) bool: spots that most likely belong to none of the lattices, though chance may have given them an index.

    Nor to a harmonic of the beam, where there is one.
    """
    if not crystals:
        return np.ones(len(frames), np.bool_)
    lattices = [matrix_of(c) for c in crystals]
    between = [A / harmonic for A in lattices] if harmonic else []
    return np.asarray(share(frames, [*lattices, *between]).posterior.sum(axis=1) < FREE)


def unlikely_spots(frames: SpotFrames, crystals: Sequence[Crystal], lattice: np.ndarray) -> np.ndarray:
    """(n,) bool: spots with an index (`lattice` >= 0) that they most likely have by chance, where there are many of them."""
    belongs = probabilities(frames, crystals)
    if len(crystals) == 1 and np.mean(belongs[:, 0] < FREE) < CLEAN:
        return np.zeros(len(frames), np.bool_)
    own = np.take_along_axis(belongs, np.maximum(lattice, 0)[:, None].astype(np.int64), axis=1)[:, 0]
    return np.asarray((lattice >= 0) & (own < UNLIKELY))


def predicted_spots(experiments: Experiments, table: ReflectionTable) -> ReflectionTable:
    """The table with predictions of its indexed spots, of stills and of scans."""
    if experiments[0].is_still:
        return predict_stills_for_indexed(experiments, table)
    return predict_for_indexed(experiments, table)


def with_left_out(result: RefinementResult, left_out: np.ndarray, number: np.ndarray) -> RefinementResult:
    """A refinement that was made without some of the spots, with their predictions.

    Parameters
    ----------
    result : RefinementResult
    left_out : (n,) bool
    number : (n,) int32
        Experiment of each spot.
    """
    if not left_out.any():
        return result
    table: ReflectionTable = result.reflections.view()
    table["id"] = number
    rows = np.flatnonzero(left_out)
    predicted = predicted_spots(Experiments(list(result.experiments)), table.select(rows))
    for name in ("xyzcal.px", "xyzcal.mm", "s1", "delpsical.rad"):
        if name in table and name in predicted:
            values = np.array(table[name])
            values[rows] = predicted[name]
            table[name] = values
    flags = np.array(table["flags"])
    flags[rows] = predicted["flags"] | np.uint64(int(Flag.CENTROID_OUTLIER | Flag.INDEXED))
    table["flags"] = flags
    return replace(result, reflections=table)
