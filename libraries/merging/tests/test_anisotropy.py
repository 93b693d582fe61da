"""The ellipsoid in which data have signal."""

from __future__ import annotations

import numpy as np
import pytest

from spindle.symmetry import laue_group_ops, unique_indices
from spindle_lib_merging.anisotropy import fit_ellipsoid, reciprocal_vectors


def merged(symbol, cell, b, d_min=1.8, noise=2.0, seed=0):
    """Intensities of mean 100 exp(-q' B q / 2), errors of one size."""
    hkl = unique_indices(cell, symbol, d_min)
    q = reciprocal_vectors(hkl, cell)
    rng = np.random.default_rng(seed)
    expected = 100 * np.exp(-0.5 * np.einsum("ni,ij,nj->n", q, b, q))
    return hkl, (expected * rng.exponential(size=len(hkl)) + noise * rng.normal(size=len(hkl))) / noise


@pytest.mark.parametrize(("symbol", "cell", "b"), [
    ("P 1", (31, 42, 53, 80, 95, 102), np.array([[40.0, 8, 3], [8, 60, -5], [3, -5, 90]])),
    ("P 21 21 21", (41, 52, 63, 90, 90, 90), np.diag([35.0, 50.0, 90.0])),
    ("P 41", (55, 55, 70, 90, 90, 90), np.diag([45.0, 45.0, 90.0])),
    ("P 1 21 1", (41, 52, 63, 90, 104, 90), np.array([[60.0, 0, 12], [0, 45, 0], [12, 0, 80]])),
])  # fmt: skip
def test_limits_are_where_the_signal_has_fallen_to_the_limit(symbol, cell, b):
    hkl, ratio = merged(symbol, cell, b)
    found = fit_ellipsoid(hkl, ratio, cell, symbol, 1.2)
    assert found is not None
    # 100 exp(-B / (2 d^2)) / noise = 1.2 along each principal axis of B
    expected = np.sqrt(np.sort(np.linalg.eigvalsh(b)) / (2 * np.log(50 / 1.2)))
    np.testing.assert_allclose(found.limits, expected, rtol=0.03)
    inside = found.contains(hkl, cell)
    true = np.einsum("ni,ij,nj->n", reciprocal_vectors(hkl, cell), b, reciprocal_vectors(hkl, cell)) < 2 * np.log(
        50 / 1.2
    )
    assert (inside == true).mean() > 0.96
    assert found.is_anisotropic(1.8)
    for rotation in laue_group_ops(symbol, proper=True):
        np.testing.assert_array_equal(found.contains(hkl @ np.rint(rotation).astype(int), cell), inside)


def test_isotropic_data_are_not_anisotropic():
    cell = (41, 52, 63, 90, 90, 90)
    found = fit_ellipsoid(*merged("P 21 21 21", cell, 60 * np.eye(3)), cell, "P 21 21 21")
    assert found is not None
    assert not found.is_anisotropic(1.8)


def test_too_few_reflections_and_data_without_an_end():
    cell = (41, 52, 63, 90, 90, 90)
    hkl, ratio = merged("P 21 21 21", cell, 60 * np.eye(3))
    assert fit_ellipsoid(hkl[:100], ratio[:100], cell, "P 21 21 21") is None
    assert fit_ellipsoid(hkl, np.full(len(hkl), 50.0), cell, "P 21 21 21") is None
    assert fit_ellipsoid(hkl, np.random.default_rng(0).normal(size=len(hkl)), cell, "P 21 21 21") is None
