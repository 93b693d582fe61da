"""One reduced basis for all experiments.

Sweeps that were indexed together have the same basis and must keep it: reducing each cell by itself would tear them
apart where angles are near 90 degrees or edges nearly equal, since noise then decides which of several reduced cells is
found. Crystals that were indexed by themselves get the basis whose metric is nearest; which of the lattice's symmetries
lies between them only intensities can tell (`alignment`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spindle.errors import UserError
from spindle.models import Experiments, cell_from_real_space
from spindle.symmetry import ChangeOfBasis, niggli_reduce, primitive_operator
from spindle_lib_reindexing import like_bases

#: Bases agree when every vector of one lies within this fraction of its length of that of the other ...
MAX_TURN = 0.05
#: ... and the matrix between them is nearer to the identity than to any other whole matrix.
MAX_ELEMENT = 0.3
#: Metrics further apart than this (of the product of two edges) are of different lattices.
FARTHEST = 0.5


@dataclass(slots=True)
class CommonBasis:
    """How each experiment's indices come into one reduced basis.

    Attributes
    ----------
    operators : list of ChangeOfBasis
        From each experiment's cell to the common reduced cell; equal within a frame.
    frames : (n_experiments,) int64
        Experiments whose bases agree share a number.
    basis : (3, 3) float64, angstrom
        Rows a, b, c of the mean reduced cell, in a standard orientation.
    cells : (n_experiments, 6) float64, angstrom and degrees
        Cell of each experiment in that basis.
    """

    operators: list[ChangeOfBasis]
    frames: np.ndarray
    basis: np.ndarray
    cells: np.ndarray


def common_basis(
    experiments: Experiments, length_tolerance: float | None, angle_tolerance: float | None
) -> CommonBasis:
    """Find the frames, reduce one cell, bring the others to it, and compare all cells in that one basis.

    Parameters
    ----------
    experiments
    length_tolerance
        Cells may differ from the median by this fraction of a length; None for no test.
    angle_tolerance
        The same for angles, degrees.

    Raises
    ------
    UserError
        If an experiment has no crystal or another cell.
    """
    primitive, bases = [], []
    for i, experiment in enumerate(experiments):
        if experiment.crystal is None:
            raise UserError(f"experiment {i} has no crystal; run spindle index and spindle integrate first")
        primitive.append(primitive_operator(experiment.crystal.space_group))
        bases.append(primitive[-1].matrix @ experiment.crystal.real_space)
    rows = np.array(bases)
    frames = find_frames(rows)
    metrics = rows @ np.swapaxes(rows, 1, 2)
    transforms = _to_reference(metrics, frames)
    mean = _mean_metric(metrics, transforms, frames)
    basis = np.linalg.cholesky(mean)
    once_more = np.eye(3, dtype=np.int64)
    for _ in range(5):  # until reduction finds nothing to do, so that who reduces again gets the same basis
        basis, step = niggli_reduce(basis)
        once_more = step @ once_more
        if np.array_equal(step, np.eye(3)):
            break
    operators = [ChangeOfBasis(once_more @ transforms[f]) @ p for f, p in zip(frames, primitive, strict=True)]
    changed = np.array([once_more @ transforms[f] @ row for f, row in zip(frames, rows, strict=True)])
    cells = cell_from_real_space(changed)
    _check_cells(cells, length_tolerance, angle_tolerance)
    return CommonBasis(operators, frames, basis, cells)


def find_frames(bases: np.ndarray) -> np.ndarray:
    """Number of the frame of each experiment: those whose bases agree share one.

    Parameters
    ----------
    bases : (n, 3, 3) float64, angstrom
        Primitive basis vectors as rows, in the goniometer's frame.

    Returns
    -------
    (n,) int64
        Numbered in order of appearance.
    """
    frames = np.empty(len(bases), dtype=np.int64)
    first: list[np.ndarray] = []
    for i, basis in enumerate(bases):
        if first:
            known = np.array(first)
            turn = np.linalg.norm(basis - known, axis=2) / np.linalg.norm(known, axis=2)
            element = np.abs(basis @ np.linalg.inv(known) - np.eye(3)).max(axis=(1, 2))
            fits = (turn.max(axis=1) < MAX_TURN) & (element < MAX_ELEMENT)
            if fits.any():
                frames[i] = int(np.argmin(np.where(fits, element, np.inf)))
                continue
        frames[i] = len(first)
        first.append(basis)
    return frames


def _to_reference(metrics: np.ndarray, frames: np.ndarray) -> list[np.ndarray]:
    """Whole matrix of each frame to the reduced basis of the frame with most experiments."""
    counts = np.bincount(frames)
    means = np.array([metrics[frames == f].mean(axis=0) for f in range(len(counts))])
    reduced, transforms = niggli_reduce(np.linalg.cholesky(means))
    reference = int(np.argmax(counts))
    target = reduced[reference] @ reduced[reference].T
    found = []
    for f in range(len(counts)):
        nearest = np.eye(3, dtype=np.int64) if f == reference else nearest_basis(reduced[f] @ reduced[f].T, target)
        found.append(nearest @ transforms[f])
    return found


def nearest_basis(metric: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The basis of a reduced lattice whose metric is nearest to a target.

    Parameters
    ----------
    metric, target : (3, 3) float64, angstrom squared
        Metric tensors of two reduced bases.

    Returns
    -------
    (3, 3) int64
        Rows: the new basis vectors in the old ones; determinant 1. The identity when none is near.
    """
    options, misfit = like_bases(metric, target, FARTHEST)
    if not len(options):
        return np.eye(3, dtype=np.int64)
    # of equally near ones the most like the identity, so that equal cells stay as they are
    change = np.abs(options - np.eye(3, dtype=np.int64)).sum(axis=(1, 2))
    return np.asarray(options[np.lexsort((change, np.round(misfit, 5)))[0]])


def _mean_metric(metrics: np.ndarray, transforms: list[np.ndarray], frames: np.ndarray) -> np.ndarray:
    change = np.array([transforms[f] for f in frames])
    return np.asarray((change @ metrics @ np.swapaxes(change, 1, 2)).mean(axis=0))


def cells_apart(cells: np.ndarray, lengths: float | None, angles: float | None) -> np.ndarray:
    """Which cells differ from the median by more than a tolerance, (n,) bool.

    Parameters
    ----------
    cells : (n, 6) float64, angstrom and degrees
        In one basis.
    lengths, angles : float or None
        Largest fraction of a length, and largest difference of an angle in degrees; None for no test.
    """
    median = np.median(cells, axis=0)
    apart = np.zeros(len(cells), dtype=np.bool_)
    if lengths is not None:
        apart |= np.any(np.abs(cells[:, :3] / median[:3] - 1.0) > lengths, axis=1)
    if angles is not None:
        apart |= np.any(np.abs(cells[:, 3:] - median[3:]) > angles, axis=1)
    return apart


def _check_cells(cells: np.ndarray, lengths: float | None, angles: float | None) -> None:
    """Cells, all in one basis, against their median."""
    for i in np.flatnonzero(cells_apart(cells, lengths, angles)):
        raise UserError(
            f"the minimum cell of experiment {i}, {np.array2string(cells[i], precision=2)}, differs from the "
            f"median cell {np.array2string(np.median(cells, axis=0), precision=2)} by more than "
            f"relative_length_tolerance={lengths} or absolute_angle_tolerance={angles}; leave it out or widen the tolerances"
        )
