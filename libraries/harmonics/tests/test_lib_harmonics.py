"""Absorption surfaces against the harmonics of scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import sph_harm_y

from spindle_lib_harmonics.kernels import real_spherical_harmonics
from spindle_lib_harmonics.surface import directional_surface, n_coefficients, surface_weights


def directions(n, seed):
    found = np.random.default_rng(seed).normal(size=(n, 3))
    return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.mark.parametrize("lmax", [1, 4, 7])
def test_harmonics_are_those_of_scipy(lmax):
    v = directions(50, lmax)
    out = np.zeros((50, n_coefficients(lmax)))
    real_spherical_harmonics(v, lmax, out)
    theta, phi = np.arccos(v[:, 2]), np.arctan2(v[:, 1], v[:, 0])
    for degree in range(1, lmax + 1):
        for m in range(-degree, degree + 1):
            y = sph_harm_y(degree, abs(m), theta, phi)
            real = y.real if m == 0 else np.sqrt(2) * (-1) ** m * (y.real if m > 0 else y.imag)
            np.testing.assert_allclose(2 * out[:, degree * degree - 1 + degree + m], real, atol=1e-12)


def test_a_surface_is_that_of_both_beams():
    source, diffracted = directions(20, 1), directions(20, 2)
    both = surface_weights(source, diffracted, 4)
    assert both.shape == (20, 24)
    swapped = surface_weights(diffracted, source, 4)
    np.testing.assert_allclose(both[:], swapped[:], atol=1e-12)
    alone = surface_weights(source, source, 4)[:] + surface_weights(diffracted, diffracted, 4)[:]
    np.testing.assert_allclose(2 * both[:], alone, atol=1e-12)
    np.testing.assert_allclose(both[3:7], both[:][3:7])


def test_a_surface_by_direction_is_that_of_two_equal_beams():
    lmax = 3
    coefficients = np.random.default_rng(5).normal(size=n_coefficients(lmax))
    polar, azimuth = np.array([0.3, 1.2, 2.9]), np.array([0.1, 2.0, 5.0])
    # in the frame of the crystal the polar axis is x: z of the harmonics
    x, y, z = np.cos(polar), np.sin(polar) * np.sin(azimuth), -np.sin(polar) * np.cos(azimuth)
    beams = np.stack([x, y, z], axis=1)
    expected = 1 + surface_weights(beams, beams, lmax)[:] @ coefficients
    np.testing.assert_allclose(directional_surface(coefficients, lmax, polar, azimuth), expected, atol=1e-12)
