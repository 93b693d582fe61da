"""Which rotations of the space group are symmetries of the intensities."""

from __future__ import annotations

from dataclasses import dataclass

import gemmi
import numpy as np

from spindle.symmetry import centring_vectors, rotations
from spindle_lib_merging import correlation
from spindle_lib_symmetry_analysis.operator_correlations import (
    MeanValues,
    deviation_of_correlation,
    operator_correlation,
)


@dataclass(frozen=True, slots=True)
class OperatorCheck:
    """How well intensities that a rotation relates agree.

    Attributes
    ----------
    rotation : (3, 3) int
        Acts on coordinates.
    cc : float
    n : int
        Number of pairs.
    accepted : bool
    """

    rotation: np.ndarray
    cc: float
    n: int
    accepted: bool

    @property
    def deviation(self) -> float:
        """Standard deviation of the correlation."""
        return deviation_of_correlation(self.cc, self.n)

    @property
    def is_identity(self) -> bool:
        """Whether it is the identity, for which repeated measurements are compared."""
        return bool(np.array_equal(self.rotation, np.eye(3)))

    @property
    def text(self) -> str:
        """Such as ``-x,-y,z``."""
        op = gemmi.Op()
        op.rot = (np.asarray(self.rotation) * gemmi.Op.DEN).astype(int).tolist()
        return str(op.triplet())


def check_operators(
    hkl: np.ndarray, value: np.ndarray, group: gemmi.SpaceGroup, threshold: float
) -> list[OperatorCheck]:
    """Correlate the values of each rotation's pairs; repeated measurements of one index are averaged before.

    Parameters
    ----------
    hkl : (n, 3) int
    value : (n,) float64
    group
        Rotations without centring and inversion are checked.
    threshold : float
        A rotation is accepted where its correlation less twice the standard deviation is above this, and above 0. The
        identity is always.
    """
    means = MeanValues.of(hkl, value, friedel=False)
    found = []
    for rotation in rotations(group):
        if np.array_equal(rotation, np.eye(3)):
            cc, n = _repeats(hkl, value)
            found.append(OperatorCheck(rotation, cc, n, True))
            continue
        if np.linalg.det(rotation) < 0:
            continue
        cc, n = operator_correlation([means], rotation)
        low = cc - 2.0 * deviation_of_correlation(cc, n)
        found.append(OperatorCheck(rotation, cc, n, n > 2 and low > max(threshold, 0.0)))
    return found


def _repeats(hkl: np.ndarray, value: np.ndarray) -> tuple[float, int]:
    """Correlation of the first and the second measurement of indices that were measured more than once."""
    _, number = np.unique(hkl, axis=0, return_inverse=True)
    order = np.argsort(number.ravel(), kind="stable")
    sorted_number = number.ravel()[order]
    first = np.flatnonzero(np.diff(sorted_number, prepend=-1) != 0)
    has_two = first[np.flatnonzero(np.diff(np.append(first, len(order))) > 1)]
    if len(has_two) < 3:
        return 0.0, len(has_two)
    return correlation(value[order[has_two]], value[order[has_two + 1]]), len(has_two)


def derived_group(checks: list[OperatorCheck], group: gemmi.SpaceGroup) -> gemmi.SpaceGroup | None:
    """The group that the accepted rotations make, with the centring of the space group; None when it has no symbol."""
    ops = []
    for check in checks:
        if check.accepted:
            for vector in centring_vectors(group):
                op = gemmi.Op()
                op.rot = (np.asarray(check.rotation) * gemmi.Op.DEN).astype(int).tolist()
                op.tran = np.rint(np.asarray(vector) * gemmi.Op.DEN).astype(int).tolist()
                ops.append(op)
    made = gemmi.GroupOps(ops)
    made.add_missing_elements()
    return gemmi.find_spacegroup_by_ops(made)
