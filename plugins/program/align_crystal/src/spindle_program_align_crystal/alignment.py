"""Settings of a three-axis goniometer in which axes of a crystal lie along directions of the laboratory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spindle.errors import ParameterError
from spindle.models import Crystal, Goniometer
from spindle.symmetry import laue_group_ops

from .angles import three_angles

__all__ = ["Solution", "Vector", "laboratory_frame", "read_vector", "solutions", "vector_pairs"]

AXES = np.eye(3)
#: Angles that differ by less than this are one setting, degrees.
SAME_DEG = 1e-3


@dataclass(frozen=True, slots=True)
class Vector:
    """A direction of the crystal.

    Attributes
    ----------
    components : (3,) float64
        h k l, or u v w where `direct`.
    direct : bool
    """

    components: np.ndarray
    direct: bool

    @property
    def name(self) -> str:
        """``a*``, ``c``, or the components."""
        for axis, letter in zip(AXES, "abc", strict=True):
            if np.array_equal(self.components, axis):
                return letter if self.direct else f"{letter}*"
        listed = " ".join(f"{v:g}" for v in self.components)
        return f"[{listed}]" if self.direct else f"({listed})"

    def of(self, A: np.ndarray) -> np.ndarray:
        """(3,) float64: the unit vector for a crystal's A matrix."""
        vector = np.linalg.inv(A).T @ self.components if self.direct else A @ self.components
        return np.asarray(vector / np.linalg.norm(vector))

    def turned(self, rotations: np.ndarray) -> np.ndarray:
        """(n, 3) float64: components of the vectors that symmetry makes equal to it."""
        if self.direct:
            return np.asarray(np.linalg.inv(rotations) @ self.components)
        return np.asarray(self.components @ rotations)


@dataclass(slots=True)
class Solution:
    """Angles of the two axes below the outermost one.

    Attributes
    ----------
    angles_deg : (float, float)
        Of the innermost (such as phi) and the middle axis (such as chi or kappa).
    pairs : list of (Vector, Vector)
        What is aligned: the first along the axis of the mode, the second in the plane.
    """

    angles_deg: tuple[float, float]
    pairs: list[tuple[Vector, Vector]] = field(default_factory=list)


def read_vector(text: str, direct: bool) -> Vector:
    """A vector from ``a*``, ``c`` or three numbers, which are of the given frame.

    Raises
    ------
    ParameterError
        If the text is none of these.
    """
    word = text.strip()
    if word.removesuffix("*") in ("a", "b", "c") and len(word) <= 2:
        return Vector(AXES["abc".index(word[0])], not word.endswith("*"))
    try:
        components = np.array([float(v) for v in word.replace(",", " ").split()])
    except ValueError:
        components = np.zeros(0)
    if components.shape != (3,) or not np.isfinite(components).all() or not 1e-6 < np.abs(components).max() < 1e6:
        raise ParameterError(
            f"align.crystal.vector={text}: write an axis such as a* or c, or three numbers such as 1,1,0"
        )
    return Vector(components, direct)


def vector_pairs(texts: Sequence[str], direct: bool) -> list[tuple[Vector, Vector]]:
    """Pairs of vectors: those that are given, two by two, else all of the three axes.

    Raises
    ------
    ParameterError
        If a vector has no partner, or is parallel to it.
    """
    if not texts:
        vectors = [Vector(axis, direct) for axis in AXES]
        return [(one, two) for one in vectors for two in vectors if one is not two]
    vectors = [read_vector(text, direct) for text in texts]
    if len(vectors) % 2:
        raise ParameterError(
            f"align.crystal.vector: {len(vectors)} vectors are given; give two for each alignment: the first along the axis, the second in "
            "the plane"
        )
    return list(zip(vectors[::2], vectors[1::2], strict=True))


def laboratory_frame(axis: np.ndarray, s0: np.ndarray, mode: str) -> tuple[np.ndarray, np.ndarray]:
    """Where the two vectors of a pair are to lie, unit vectors (3,).

    Parameters
    ----------
    axis : (3,) float64
        The rotation axis in the laboratory.
    s0 : (3,) float64
    mode : str
        "main": along the axis, and in the plane of axis and beam. "cusp": across axis and beam, and in the plane with the axis.

    Raises
    ------
    ParameterError
        If axis and beam are parallel, so that there is no such plane.
    """
    across = np.cross(axis, s0 / np.linalg.norm(s0))
    if np.linalg.norm(across) < 1e-6:
        raise ParameterError(
            "the rotation axis lies along the beam: there is no plane in which a second vector could be"
        )
    across /= np.linalg.norm(across)
    if mode == "main":
        second = np.cross(axis, across)
        return axis, second / np.linalg.norm(second)
    return across, axis


def fold(vector: Vector, rotations: np.ndarray) -> int:
    """How many rotations of the symmetry leave a vector where it is: 1 where it is no axis of symmetry."""
    return int(np.count_nonzero(np.abs(vector.turned(rotations) - vector.components).max(axis=1) < 1e-6))


def solutions(
    crystal: Crystal,
    goniometer: Goniometer,
    s0: np.ndarray,
    pairs: Sequence[tuple[Vector, Vector]],
    mode: str,
    group: Any = None,
) -> list[Solution]:
    """All settings in which one of the pairs is aligned, or a pair that symmetry makes equal to it.

    Parameters
    ----------
    crystal : Crystal
    goniometer : Goniometer
        With three axes, from the crystal outwards; the outermost is the axis of the scans to come.
    s0 : (3,) float64
    pairs : sequence of (Vector, Vector)
    mode : str
        See `laboratory_frame`.
    group : space group, optional
        Instead of the crystal's.

    Returns
    -------
    list of Solution
        In the order of the pairs, then of the angles.
    """
    assert goniometer.axes is not None
    e3, e2, e1 = (axis / np.linalg.norm(axis) for axis in goniometer.axes)
    one, two = laboratory_frame(e1, s0, mode)
    rotations = laue_group_ops(crystal.space_group if group is None else group, proper=True)
    found: dict[tuple[int, int], Solution] = {}
    for pair in pairs:
        done = set()
        equal = [v.turned(rotations) for v in pair]
        for first, second in zip(*equal, strict=True):
            frame = _frame(Vector(first, pair[0].direct).of(crystal.A), Vector(second, pair[1].direct).of(crystal.A))
            if frame is None:
                raise ParameterError(
                    f"align.crystal.vector: {pair[0].name} and {pair[1].name} are parallel; give two directions"
                )
            for signs in ((1, 1), (-1, -1), (1, -1), (-1, 1)):
                wanted = _frame(signs[0] * one, signs[1] * two)
                assert wanted is not None
                for _, a2, a3 in three_angles(wanted @ frame.T, e1, e2, e3):
                    angles = float(np.degrees(a3)), float(np.degrees(a2))
                    key = tuple(int(np.rint(v / SAME_DEG)) % 360_000 for v in angles)
                    done.add(key)
                    found.setdefault(key, Solution(angles))  # type: ignore[arg-type]
        for key in done:
            found[key].pairs.append(pair)  # type: ignore[index]
    order = {id(pair): k for k, pair in enumerate(pairs)}
    return sorted(found.values(), key=lambda s: (order[id(s.pairs[0])], s.angles_deg[1], s.angles_deg[0]))


def _frame(first: np.ndarray, second: np.ndarray) -> np.ndarray | None:
    """Right-handed axes as columns: the first vector, what of the second is across it, and the third; None for parallel ones."""
    across = second - first * (first @ second)
    length = float(np.linalg.norm(across))
    if length < 1e-6:
        return None
    across = across / length
    return np.stack([first, across, np.cross(first, across)], axis=1)
