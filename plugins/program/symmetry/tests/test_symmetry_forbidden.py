"""Reflections that a known space group forbids: how many of what strength are evidence against it."""

from __future__ import annotations

from math import comb
from types import SimpleNamespace

import gemmi
import numpy as np
import pytest
from spindle_program_symmetry.known_group import forbidden_reflections


def binomial_tail(least, n, p):
    return sum(comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(least, n + 1))


def prepared(intensity, sigma, others=200, seed=5):
    """Observations in P 1 21 1 of which 0 k 0 with odd k have these intensities; others have a mean of 1."""
    rng = np.random.default_rng(seed)
    forbidden = np.array([[0, 2 * i + 1, 0] for i in range(len(intensity))])
    hkl = np.concatenate([forbidden, [[1 + i // 20, i % 20, 3] for i in range(others)]])
    value = np.concatenate([intensity, rng.exponential(size=others)])
    spread = np.concatenate([np.full(len(intensity), sigma), np.full(others, 0.02)])
    return SimpleNamespace(intensity=value, variance=spread**2, normalised=value, normalised_sigma=spread), hkl


@pytest.mark.parametrize(
    ("intensity", "x_rays", "electrons"),
    [
        ([5.0], False, False),  # however strong, one is none
        ([1.0, 1.0], False, False),
        ([0.8, 1.3, 0.5], True, True),
        ([0.9, 0.8, 0.0, 0.0, 0.0], False, False),
        ([0.6, 1.1, 0.4] + [0.0] * 5, True, False),  # by chance with a probability of 0.006
        ([0.6, 1.1, 0.4] + [0.0] * 7, False, False),  # 0.012
        ([0.01] * 40, False, False),  # half the wavelength
        ([0.06] * 40, True, False),  # electrons that are scattered twice
    ],
)
def test_evidence_of_forbidden_reflections(intensity, x_rays, electrons):
    data, hkl = prepared(np.array(intensity), 0.002)
    found = forbidden_reflections(data, hkl, gemmi.SpaceGroup("P 1 21 1"))
    assert found.n == len(intensity)
    assert found.chance == pytest.approx(binomial_tail(found.present, found.n, 0.05))
    assert found.contradict(electrons=False) == x_rays and found.contradict(electrons=True) == electrons
