"""Fall-offs with direction that obey the group under test, where the data do not tell that they have less symmetry."""

from __future__ import annotations

import numpy as np
import pytest

from spindle.symmetry import ChangeOfBasis
from spindle_lib_symmetry_analysis.prepare import Prepared

BASIS = np.diag([60.0, 60.0, 40.0])
FOURFOLD = np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]])
GROUP = [np.linalg.matrix_power(FOURFOLD, k) for k in range(4)]


def expected(hkl, B):
    q = hkl @ np.linalg.inv(BASIS).T
    return np.exp(-0.5 * np.einsum("ni,ij,nj->n", q, B, q))


def prepared(B, n_unique):
    """Intensities of 1 and the same turned by the fourfold axis, normalised by a tensor."""
    half = np.random.default_rng(1).integers(-15, 16, (200, 3))
    hkl = np.concatenate([half, half @ FOURFOLD])
    n, one = len(hkl), np.ones(len(hkl))
    return Prepared(
        np.zeros(n, np.int64), one, hkl, one, one, one, hkl, 1 / expected(hkl, B), 0.1 / expected(hkl, B), B[None],
        np.array([n_unique]), one, one > 0, [ChangeOfBasis.identity()], np.zeros(1, np.int64), BASIS, [], [], [], 3.0,
    )  # fmt: skip


def unlikeness(data):
    first, second = np.split(data.normalised, 2)
    return float(np.abs(first / second - 1).max())


UNEVEN = np.array([[2.0, 1.0, 0.5], [1.0, -1.0, 0.7], [0.5, 0.7, 0.0]])


def test_what_chance_makes_uneven_obeys_the_group():
    data = prepared(np.diag([10.0, 10.0, 20.0]) + UNEVEN, 300)
    assert unlikeness(data) > 0.05
    even = data.obeying(GROUP)
    assert unlikeness(even) < 1e-12
    mean = np.diag([10.5, 10.5, 20.0])  # by hand: (B11 + B22) / 2 twice, B33, and nothing beside them
    np.testing.assert_allclose(even.normalised, 1 / expected(data.hkl, mean), rtol=1e-12)
    np.testing.assert_allclose(even.normalised_sigma, 0.1 * even.normalised, rtol=1e-12)


def test_what_is_truly_uneven_stays_taken_out():
    data = prepared(np.diag([10.0, 10.0, 20.0]) + UNEVEN, 100_000)
    np.testing.assert_array_equal(data.obeying(GROUP).normalised, data.normalised)


@pytest.mark.parametrize("rotations", [GROUP, [np.eye(3, dtype=int)]])
def test_a_fall_off_that_has_the_symmetry_stays(rotations):
    data = prepared(np.diag([10.0, 10.0, 20.0]), 300)
    assert data.obeying(rotations) is data


def test_a_fall_off_turns_with_its_indices():
    data = prepared(np.diag([10.0, 13.0, 20.0]) + UNEVEN, 300)
    turned = data.turned([FOURFOLD])
    np.testing.assert_allclose(1 / expected(turned.hkl, turned.fall_off[0]), turned.normalised, rtol=1e-12)
