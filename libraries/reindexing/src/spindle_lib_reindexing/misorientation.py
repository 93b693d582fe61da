"""Rotations from one crystal to another, over the symmetry of the lattice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spindle.models import Crystal
from spindle.symmetry import ChangeOfBasis, laue_group_ops

__all__ = ["Equivalents", "Misorientation", "Orientations", "angle_and_axis", "equivalents"]


def angle_and_axis(rotation: np.ndarray) -> tuple[float, np.ndarray]:
    """Angle in degrees (0 to 180) and axis of a rotation."""
    vector = np.array(
        [rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]]
    )
    sine = float(np.linalg.norm(vector)) / 2.0
    angle = float(np.degrees(np.arctan2(sine, (np.trace(rotation) - 1.0) / 2.0)))
    if angle < 1e-6:
        return angle, np.zeros(3)
    if angle < 179.9:
        return angle, vector / np.linalg.norm(vector)
    values, vectors = np.linalg.eigh(rotation + rotation.T)  # for half a turn the sine tells nothing
    axis = vectors[:, np.argmax(values)]
    return angle, np.asarray(axis * (1.0 if vector @ axis >= 0 else -1.0))


@dataclass(frozen=True, slots=True)
class Equivalents:
    """A crystal in all bases that its symmetry makes equal.

    Attributes
    ----------
    operators : (m, 3, 3) int64
        Changes of the basis, M of `ChangeOfBasis`; the identity first.
    A : (m, 3, 3) float64, 1/angstrom
    U : (m, 3, 3) float64
    """

    operators: np.ndarray
    A: np.ndarray
    U: np.ndarray


@dataclass(frozen=True, slots=True)
class Misorientation:
    """The rotation that takes one crystal to an equivalent of another.

    Attributes
    ----------
    operator : ChangeOfBasis
        From the basis of the second crystal to that of the equivalent.
    rotation : (3, 3) float64
        U of the equivalent = rotation U of the first crystal, in the goniometer's frame.
    angle_deg : float
        0 to 180.
    axis : (3,) float64
        0 0 0 when there is no rotation.
    A : (3, 3) float64, 1/angstrom
        Of the equivalent of the second crystal.
    """

    operator: ChangeOfBasis
    rotation: np.ndarray
    angle_deg: float
    axis: np.ndarray
    A: np.ndarray


def equivalents(crystal: Crystal, group: Any = None) -> Equivalents:
    """The bases that are equal by the rotations of the Laue group.

    Parameters
    ----------
    crystal : Crystal
    group : space group, optional
        Instead of the crystal's.
    """
    rotations = laue_group_ops(crystal.space_group if group is None else group, proper=True).astype(np.float64)
    # Indices transform as rows h R: those of the equivalent basis are R^T h, and its M is R^T.
    operators = np.swapaxes(rotations, 1, 2)
    A = crystal.A @ np.linalg.inv(operators)
    U = np.stack([crystal.with_A(a).U for a in A])
    return Equivalents(np.rint(operators).astype(np.int64), A, U)


class Orientations:
    """Crystals that are compared with each other, all of them with their equivalents.

    Parameters
    ----------
    crystals : sequence of Crystal
    group : space group, optional
        Instead of that of each crystal.
    """

    def __init__(self, crystals: Sequence[Crystal], group: Any = None) -> None:
        self._of = [equivalents(c, group) for c in crystals]
        most = max((len(e.U) for e in self._of), default=0)
        # All have as many equivalents: the identity, which comes first, is given again where there are fewer.
        self._U = np.array([np.concatenate([e.U, np.repeat(e.U[:1], most - len(e.U), axis=0)]) for e in self._of])

    def angles(self, pairs: Sequence[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
        """The smallest angle of each pair, (n,) float64, degrees, and which equivalent of the second crystal it leads to, (n,) int64."""
        table = np.array(pairs, np.int64).reshape(-1, 2)
        cosines, best = np.empty(len(table)), np.empty(len(table), np.int64)
        for i in np.unique(table[:, 0]):
            rows = np.flatnonzero(table[:, 0] == i)
            traces = np.einsum("nkij,ij->nk", self._U[table[rows, 1]], self._U[i, 0])
            best[rows] = np.argmax(traces, axis=1)
            cosines[rows] = (traces.max(axis=1) - 1.0) / 2.0
        return np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0))), best

    def rotation(self, first: int, second: int, equivalent: int) -> Misorientation:
        """The rotation of one crystal to an equivalent of another."""
        return _to(self._of[first].U[0], self._of[second], equivalent)

    def all_rotations(self, first: int, second: int) -> list[Misorientation]:
        """The rotations of one crystal to all equivalents of another, the smallest angle first."""
        found = [self.rotation(first, second, k) for k in range(len(self._of[second].U))]
        return sorted(found, key=lambda m: m.angle_deg)


def _to(U: np.ndarray, there: Equivalents, k: int) -> Misorientation:
    rotation = there.U[k] @ U.T
    angle, axis = angle_and_axis(rotation)
    return Misorientation(ChangeOfBasis(there.operators[k]), rotation, angle, axis, there.A[k])
