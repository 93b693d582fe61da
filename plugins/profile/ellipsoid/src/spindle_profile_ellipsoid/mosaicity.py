"""Models of mosaicity: few numbers that make the normal distribution of a reciprocal-lattice point.

A point r is smeared by a normal distribution whose covariance is ``fixed + Q' (turning |r|^2 + shaped) Q``: a part that is the same for all
points and keeps its axes in the crystal (small blocks), one that grows with the distance from the origin (blocks turned against each
other), and one that keeps its size and follows the direction of r. The rows of Q are r x s0, r x (r x s0) and r, normalised.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["MODELS", "Mosaicity", "Widths"]


@dataclass(frozen=True)
class Widths:
    """Covariances (3, 3) that a model is made of, and their derivatives (p, 3, 3).

    Attributes
    ----------
    fixed, shaped : 1/angstrom^2
    turning : rad^2
    """

    fixed: np.ndarray
    turning: np.ndarray
    shaped: np.ndarray
    d_fixed: np.ndarray
    d_turning: np.ndarray
    d_shaped: np.ndarray


@dataclass(frozen=True)
class _Part:
    """Some parameters: where in a lower triangular matrix M they stand; the covariance is M M'."""

    kind: str
    places: tuple[tuple[tuple[int, int], ...], ...]


_LOWER = (((0, 0),), ((1, 0),), ((1, 1),), ((2, 0),), ((2, 1),), ((2, 2),))
_SPHERE = (((0, 0), (1, 1), (2, 2)),)
_DISC = (((0, 0), (1, 1)),)
_ELLIPSE = (((0, 0),), ((1, 0),), ((1, 1),))
_RADIAL = (((2, 2),),)


class Mosaicity:
    """One way of describing mosaicity.

    Parameters
    ----------
    name : str
    parts : _Part
    """

    def __init__(self, name: str, *parts: _Part) -> None:
        self.name, self.parts = name, parts
        self.places = [(part.kind, places) for part in parts for places in part.places]
        self.n_parameters = len(self.places)
        #: which parameters are angles
        self.angular = np.array([kind == "turning" for kind, _ in self.places])
        #: which are of the diagonal of M, and positive
        self.diagonal = np.array([places[0][0] == places[0][1] for _, places in self.places])

    def start(self, width: float, length: float) -> np.ndarray:
        """(p,) parameters for a spherical width (1/angstrom) of points at a distance ``length`` from the origin (1/angstrom)."""
        begin = np.where(self.angular, width / length, width)
        if self.angular.any() and not self.angular.all():
            begin = begin * np.sqrt(0.5)
        return np.where(self.diagonal, begin, 0.0)

    def widths(self, parameters: np.ndarray) -> Widths:
        """Covariances and their derivatives by the parameters (p,)."""
        p = self.n_parameters
        found = {kind: (np.zeros((3, 3)), np.zeros((p, 3, 3))) for kind in ("fixed", "turning", "shaped")}
        triangles = {kind: np.zeros((3, 3)) for kind in found}
        for value, (kind, places) in zip(parameters, self.places, strict=True):
            for place in places:
                triangles[kind][place] = value
        for kind, (whole, slopes) in found.items():
            m = triangles[kind]
            whole[:] = m @ m.T
            for k, (of, places) in enumerate(self.places):
                if of == kind:
                    step = np.zeros((3, 3))
                    for place in places:
                        step[place] = 1.0
                    slopes[k] = step @ m.T + m @ step.T
        return Widths(
            found["fixed"][0], found["turning"][0], found["shaped"][0],
            found["fixed"][1], found["turning"][1], found["shaped"][1],
        )  # fmt: skip

    def described(self, parameters: np.ndarray) -> dict[str, float]:
        """Principal widths by name: those in 1e-3/angstrom, those of angles in degrees (their names end in ``_deg``)."""
        w = self.widths(np.asarray(parameters, np.float64))
        out: dict[str, float] = {}
        for part in self.parts:
            matrix = {"fixed": w.fixed, "turning": w.turning, "shaped": w.shaped}[part.kind]
            if part.kind == "turning":
                axes = np.sqrt(np.maximum(np.linalg.eigvalsh(matrix[:2, :2]), 0.0))
                axes = axes[-1:] if part.places is _DISC else axes
                names = ["angular_deg"] if len(axes) == 1 else ["angular_min_deg", "angular_max_deg"]
                out.update(zip(names, np.degrees(axes).tolist(), strict=True))
                continue
            if part.kind == "shaped":
                rows = range(2) if part.places is not _RADIAL else [2]
                axes = np.sqrt(np.maximum(np.linalg.eigvalsh(matrix[np.ix_(rows, rows)]), 0.0))
                names = ["radial"] if part.places is _RADIAL else ["tangential_min", "tangential_max"]
                if part.places is _DISC:
                    axes, names = axes[-1:], ["tangential"]
            else:
                axes = np.sqrt(np.maximum(np.linalg.eigvalsh(matrix), 0.0))
                names = ["min", "mid", "max"]
                if part.places is _SPHERE:
                    axes, names = axes[-1:], ["spherical"]
            out.update(zip(names, (1e3 * axes).tolist(), strict=True))
        return out


_SIMPLE1, _SIMPLE6 = _Part("fixed", _SPHERE), _Part("fixed", _LOWER)
_ANGULAR1, _ANGULAR3 = _Part("turning", _DISC), _Part("turning", _ELLIPSE)

#: By the names that DIALS gives them.
MODELS = {
    model.name: model
    for model in (
        Mosaicity("simple1", _SIMPLE1),
        Mosaicity("simple6", _SIMPLE6),
        Mosaicity("simple1angular1", _SIMPLE1, _ANGULAR1),
        Mosaicity("simple1angular3", _SIMPLE1, _ANGULAR3),
        Mosaicity("simple6angular1", _SIMPLE6, _ANGULAR1),
        Mosaicity("simple6angular3", _SIMPLE6, _ANGULAR3),
        Mosaicity("angular2", _Part("shaped", _DISC), _Part("shaped", _RADIAL)),
        Mosaicity("angular4", _Part("shaped", _ELLIPSE), _Part("shaped", _RADIAL)),
    )
}
