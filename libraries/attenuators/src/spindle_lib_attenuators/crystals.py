"""Crystals that absorb: convex bodies with flat faces, and ellipsoids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from spindle.errors import ModelError

from .kernels import ellipsoid_transmission, polyhedron_transmission

__all__ = ["Ellipsoid", "Polyhedron"]

#: Planes whose normals span less than this do not meet in a point.
LEAST_DETERMINANT = 1e-9
#: Numbers of points along each edge that are tried, until the transmission changes by less than TOLERANCE of itself.
GRIDS = (6, 8, 12, 16, 24, 32)
TOLERANCE = 3e-4
#: Directions that are looked at for it.
TRIED = 60


#: Transmissions by a grid of n points along each edge, of rays from the source and outwards.
Through = Callable[[int, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True)
class Polyhedron:
    """A convex body with flat faces.

    Attributes
    ----------
    normals : (f, 3) float64, unit vectors
        Outwards.
    distances : (f,) float64, mm
        Of the faces from the origin.
    corners : (k, 3) float64, mm
    """

    normals: np.ndarray
    distances: np.ndarray
    corners: np.ndarray

    @classmethod
    def of_faces(cls, normals: np.ndarray, distances: np.ndarray) -> Polyhedron:
        """From its faces.

        Parameters
        ----------
        normals : (f, 3) float64
            Outwards, of any length but 0.
        distances : (f,) float64, mm
            From a point in the body, positive.

        Raises
        ------
        ModelError
            If the faces do not enclose a body, or one is not a direction.
        """
        normals, distances = np.asarray(normals, float).reshape(-1, 3), np.asarray(distances, float).ravel()
        lengths = np.linalg.norm(normals, axis=1)
        for k, (length, distance) in enumerate(zip(lengths, distances, strict=True)):
            if not length > 0 or not np.isfinite(length):
                raise ModelError(f"face {k + 1} of the crystal has no direction")
            if not distance > 0 or not np.isfinite(distance):
                raise ModelError(
                    f"face {k + 1} of the crystal is {distance:g} mm from its middle; a positive number is needed"
                )
        normals = normals / lengths[:, None]
        size = float(distances.max(initial=0.0))
        if not _encloses(normals):
            raise ModelError(
                f"the {len(normals)} faces of the crystal do not enclose it: it has no end in some direction; give all faces, opposite "
                "ones too"
            )
        corners = []
        for three in combinations(range(len(normals)), 3):
            rows = list(three)
            if abs(np.linalg.det(normals[rows])) > LEAST_DETERMINANT:
                point = np.linalg.solve(normals[rows], distances[rows])
                if (normals @ point <= distances + 1e-9 * size).all():
                    corners.append(point)
        return cls(normals, distances, np.unique(np.round(corners, 12), axis=0))

    def points(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Points (m, 3) in mm and weights (m,) of a Gaussian grid of n points along each edge.

        Notes
        -----
        Limits of y at each x, and of z at each x and y, as by Coppens, Leiserowitz & Rabinovich (1965), Acta Cryst. 18, 1035-1038.
        """
        nodes, weights = np.polynomial.legendre.leggauss(n)
        nodes, weights = 0.5 * (nodes + 1.0), 0.5 * weights
        points, found = [], []
        pairs = np.array(list(combinations(range(len(self.corners)), 2)))
        a, b = self.corners[pairs[:, 0]], self.corners[pairs[:, 1]]
        low, high = self.corners[:, 0].min(), self.corners[:, 0].max()
        for x, wx in zip(low + (high - low) * nodes, weights * (high - low), strict=True):
            # a slice of a convex body is spanned by where the lines between its corners cross it
            crossing = (np.minimum(a[:, 0], b[:, 0]) <= x) & (x <= np.maximum(a[:, 0], b[:, 0])) & (a[:, 0] != b[:, 0])
            part = (x - a[crossing, 0]) / (b[crossing, 0] - a[crossing, 0])
            y_there = a[crossing, 1] + part * (b[crossing, 1] - a[crossing, 1])
            bottom, top = y_there.min(), y_there.max()
            y, wy = bottom + (top - bottom) * nodes, weights * (top - bottom)
            room = self.distances - self.normals[:, 0] * x - self.normals[:, 1] * y[:, None]
            slope = self.normals[:, 2]
            with np.errstate(divide="ignore", invalid="ignore"):
                ends = room / slope
            upper = np.where(slope > 1e-12, ends, np.inf).min(axis=1)
            lower = np.where(slope < -1e-12, ends, -np.inf).max(axis=1)
            length = np.maximum(upper - lower, 0.0)
            z = lower[:, None] + length[:, None] * nodes
            points.append(np.stack(np.broadcast_arrays(x, y[:, None], z), axis=-1).reshape(-1, 3))
            found.append((wx * wy[:, None] * length[:, None] * weights).ravel())
        every = np.concatenate(found)
        return np.concatenate(points), every / every.sum()

    def transmission(
        self, mu: float, towards_source: np.ndarray, outgoing: np.ndarray, n: int | None = None
    ) -> np.ndarray:
        """Part of the photons that the crystal lets through, on their way to each of its points and from there.

        Parameters
        ----------
        mu : float, 1/mm
        towards_source, outgoing : (n, 3) float64, unit vectors
            In the frame of the normals.
        n : int, optional
            Points along each edge; by default as many as are needed for 0.03 %.

        Returns
        -------
        (n,) float64, in (0, 1]
        """

        def through(n: int, source: np.ndarray, out: np.ndarray) -> np.ndarray:
            found = np.empty(len(out))
            polyhedron_transmission(*self.points(n), self.normals, self.distances, mu, source, out, found)
            return found

        return _settled(through, towards_source, outgoing, n)


@dataclass(frozen=True, slots=True)
class Ellipsoid:
    """A crystal that was ground, or grew, to an ellipsoid.

    Attributes
    ----------
    shape : (3, 3) float64, 1/mm
        The body is where ``|shape x| <= 1``.
    """

    shape: np.ndarray

    @classmethod
    def of_axes(cls, half_axes: np.ndarray, directions: np.ndarray | None = None) -> Ellipsoid:
        """From its half axes.

        Parameters
        ----------
        half_axes : (3,) float64, mm
        directions : (3, 3) float64, optional
            Directions of the axes, one a row, at right angles to each other; by default x, y and z.

        Raises
        ------
        ModelError
            If an axis is not positive or the directions are not at right angles.
        """
        half_axes = np.asarray(half_axes, float)
        if half_axes.shape != (3,) or not np.isfinite(half_axes).all() or half_axes.min() <= 0:
            raise ModelError(
                f"half axes {', '.join(f'{v:g}' for v in half_axes.ravel())} mm: three positive numbers are needed"
            )
        turned = np.eye(3) if directions is None else np.asarray(directions, float)
        lengths = np.linalg.norm(turned, axis=1)
        if not (lengths > 0).all() or not np.allclose(
            (turned / lengths[:, None]) @ (turned / lengths[:, None]).T, np.eye(3), atol=1e-3
        ):
            raise ModelError("the axes of the ellipsoid are not at right angles to each other")
        u, _, v = np.linalg.svd(turned / lengths[:, None])
        return cls((u @ v) / half_axes[:, None])

    def points(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Points (m, 3) in the unit ball and weights (m,): n along radius and height, 2 n around."""
        nodes, weights = np.polynomial.legendre.leggauss(n)
        # density r^2 along the radius: even spread in r^3 would crowd the points at the surface, where paths have kinks
        radius, w_radius = 0.5 * (nodes + 1.0), 0.5 * weights * 3.0 * (0.5 * (nodes + 1.0)) ** 2
        turn = np.pi * (np.arange(2 * n) + 0.5) / n
        ring = np.sqrt(1.0 - nodes**2)
        unit = np.stack(
            np.broadcast_arrays(ring[:, None] * np.cos(turn), ring[:, None] * np.sin(turn), nodes[:, None]), axis=-1
        ).reshape(-1, 3)  # fmt: skip
        share = np.repeat(0.5 * weights, 2 * n) / (2 * n)
        every = (w_radius[:, None] * share).ravel()
        return (radius[:, None, None] * unit).reshape(-1, 3), every / every.sum()

    def transmission(
        self, mu: float, towards_source: np.ndarray, outgoing: np.ndarray, n: int | None = None
    ) -> np.ndarray:
        """As `Polyhedron.transmission`."""

        def through(n: int, source: np.ndarray, out: np.ndarray) -> np.ndarray:
            found = np.empty(len(out))
            ellipsoid_transmission(*self.points(n), self.shape, mu, source, out, found)
            return found

        return _settled(through, towards_source, outgoing, n)


def _settled(through: Through, towards_source: np.ndarray, outgoing: np.ndarray, n: int | None) -> np.ndarray:
    """Transmissions by a grid that is fine enough, judged by some of the directions."""
    source, out = (np.ascontiguousarray(v, dtype=np.float64) for v in (towards_source, outgoing))
    if n is None:
        some = np.unique(np.linspace(0, max(len(out) - 1, 0), TRIED).astype(np.int64))[: len(out)]
        n, before = GRIDS[0], through(GRIDS[0], source[some], out[some])
        for finer in GRIDS[1:]:
            now = through(finer, source[some], out[some])
            if (np.abs(now / before - 1.0) < TOLERANCE).all():
                break
            n, before = finer, now
    return np.asarray(through(n, source, out))


def _encloses(normals: np.ndarray) -> bool:
    """Whether planes with these normals end in every direction: the origin is inside the hull of the normals."""
    from scipy.optimize import linprog

    if np.linalg.matrix_rank(normals, tol=1e-9) < 3:
        return False
    # a positive combination of all normals that is zero
    found = linprog(
        np.zeros(len(normals)), A_eq=normals.T, b_eq=np.zeros(3), bounds=[(1.0, None)] * len(normals), method="highs"
    )
    return bool(found.status == 0)
