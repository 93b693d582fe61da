"""Transmission of rays through convex bodies, averaged over points in them."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def polyhedron_transmission(points, weights, normals, distances, mu, towards_source, outgoing, out):
    """Mean transmission of rays that come in and go out through flat faces.

    Parameters
    ----------
    points : (m, 3) float64, mm
        In the body.
    weights : (m,) float64
        Of the points, 1 together.
    normals : (f, 3) float64, unit vectors
        Of the faces, outwards.
    distances : (f,) float64, mm
        Of the faces from the origin.
    mu : float, 1/mm
    towards_source, outgoing : (n, 3) float64, unit vectors
    out : (n,) float64
        Output.
    """
    n_faces, n_points = normals.shape[0], points.shape[0]
    gaps = np.empty((n_points, n_faces))
    for j in range(n_points):
        for f in range(n_faces):
            gaps[j, f] = distances[f] - (
                points[j, 0] * normals[f, 0] + points[j, 1] * normals[f, 1] + points[j, 2] * normals[f, 2]
            )
    speeds = np.empty((2, n_faces))  # 1 / cosine to the faces that a ray leaves through
    faces = np.empty((2, n_faces), np.int64)
    for i in range(outgoing.shape[0]):
        counts = np.zeros(2, np.int64)
        for k in range(2):
            v = towards_source[i] if k == 0 else outgoing[i]
            for f in range(n_faces):
                cosine = v[0] * normals[f, 0] + v[1] * normals[f, 1] + v[2] * normals[f, 2]
                if cosine > 1e-12:
                    speeds[k, counts[k]] = 1.0 / cosine
                    faces[k, counts[k]] = f
                    counts[k] += 1
        total = 0.0
        for j in range(n_points):
            path = 0.0
            for k in range(2):
                nearest = np.inf
                for c in range(counts[k]):
                    t = gaps[j, faces[k, c]] * speeds[k, c]
                    if t < nearest:
                        nearest = t
                path += nearest
            total += weights[j] * np.exp(-mu * path)
        out[i] = total


@njit(nogil=True, cache=True)
def ellipsoid_transmission(points, weights, shape, mu, towards_source, outgoing, out):
    """Mean transmission of rays that come in and go out through an ellipsoid.

    Parameters
    ----------
    points : (m, 3) float64
        In the unit ball, into which `shape` takes the ellipsoid.
    weights : (m,) float64
        Of the points, 1 together.
    shape : (3, 3) float64, 1/mm
        The ellipsoid is where ``|shape x| <= 1``.
    mu : float, 1/mm
    towards_source, outgoing : (n, 3) float64, unit vectors
    out : (n,) float64
        Output.
    """
    n_points = points.shape[0]
    inside = np.empty(n_points)
    for j in range(n_points):
        inside[j] = 1.0 - (points[j, 0] ** 2 + points[j, 1] ** 2 + points[j, 2] ** 2)
    scaled = np.empty((2, 3))
    squares = np.empty(2)
    for i in range(outgoing.shape[0]):
        for k in range(2):
            v = towards_source[i] if k == 0 else outgoing[i]
            squares[k] = 0.0
            for r in range(3):
                scaled[k, r] = shape[r, 0] * v[0] + shape[r, 1] * v[1] + shape[r, 2] * v[2]
                squares[k] += scaled[k, r] ** 2
        total = 0.0
        for j in range(n_points):
            path = 0.0
            for k in range(2):
                b = points[j, 0] * scaled[k, 0] + points[j, 1] * scaled[k, 1] + points[j, 2] * scaled[k, 2]
                path += (np.sqrt(b * b + squares[k] * inside[j]) - b) / squares[k]
            total += weights[j] * np.exp(-mu * path)
        out[i] = total
