"""Absorption surfaces: half the sum of real spherical harmonics in the directions of both beams."""

from __future__ import annotations

from typing import Any

import numpy as np

from spindle.contracts.scaling import Computed

from .kernels import real_spherical_harmonics


def n_coefficients(lmax: int) -> int:
    """Number of harmonics of the orders 1 to lmax."""
    return lmax * (lmax + 2)


def surface_weights(source: np.ndarray, diffracted: np.ndarray, lmax: int) -> Computed:
    """(n, lmax (lmax + 2)) weights of the coefficients of an absorption surface, computed when they are asked for.

    Parameters
    ----------
    source, diffracted : (n, 3) float64, unit vectors
        From the crystal to the source, and along the diffracted beam, in the frame of the crystal.
    lmax : int
        Highest order.
    """
    p = n_coefficients(lmax)

    def harmonics(rows: Any) -> np.ndarray:
        weights = np.zeros((len(source[rows]), p))
        for directions in (source, diffracted):
            real_spherical_harmonics(_harmonic_frame(directions[rows]), lmax, weights)
        return weights

    return Computed(harmonics, len(source), p)


def _harmonic_frame(directions: np.ndarray) -> np.ndarray:
    """Directions turned by 90 degrees about -y: the x axis, often the rotation axis, becomes the polar axis."""
    return np.ascontiguousarray(np.stack([-directions[:, 2], directions[:, 1], directions[:, 0]], axis=1))


def directional_surface(coefficients: np.ndarray, lmax: int, polar: np.ndarray, azimuth: np.ndarray) -> np.ndarray:
    """The surface by direction: the factor of g of a reflection both of whose beams had the same direction in the crystal.

    Parameters
    ----------
    coefficients : (lmax (lmax + 2),) float64
    lmax : int
        Highest order.
    polar, azimuth : float64, radians, of shapes that go together
        The polar angle is from the x axis of the crystal's frame, often the rotation axis.

    Returns
    -------
    float64, of the joint shape
        1 where there is no absorption to correct.
    """
    theta, phi = np.broadcast_arrays(polar, azimuth)
    directions = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], axis=-1)
    weights = np.zeros((theta.size, n_coefficients(lmax)))
    real_spherical_harmonics(np.ascontiguousarray(directions.reshape(-1, 3)), lmax, weights)
    return np.asarray(1.0 + 2.0 * (weights @ coefficients).reshape(theta.shape))
