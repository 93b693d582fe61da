"""Statistics of intensities against the values of Wilson's distributions, and of twins made of them."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from spindle.symmetry import asu_indices, epsilon_factors, is_centric, space_group, unique_indices
from spindle_lib_merging import pack_indices
from spindle_lib_twinning.agreement import Measured, excess, on_one_scale
from spindle_lib_twinning.diagnosis import diagnose
from spindle_lib_twinning.intensities import normalised_intensities
from spindle_lib_twinning.laws import twin_laws
from spindle_lib_twinning.moments import _density, expected_cumulative, mean_abs_l

TETRAGONAL = (60.0, 60.0, 80.0, 90.0, 90.0, 90.0)


def crystal(symbol, cell, d_min=2.4, fraction=0.0, noise=0.02, seed=0, vector=None):
    """Unique indices, intensities and sigmas of a random structure, twinned by the first law, with a pseudo-translation."""
    group, rng = space_group(symbol), np.random.default_rng(seed)
    hkl = unique_indices(cell, group, d_min)
    z = np.where(is_centric(hkl, group), rng.standard_normal(len(hkl)) ** 2, rng.exponential(size=len(hkl)))
    if vector is not None:
        z *= 1.0 + 0.8 * np.cos(2 * np.pi * hkl @ np.array(vector))
    d = np.asarray(gemmi.UnitCell(*cell).calculate_d_array(hkl))
    intensity = 1000.0 * z * epsilon_factors(hkl, group) * np.exp(-12.0 / d**2)
    if fraction:
        mates, _ = asu_indices(twin_laws(cell, group)[0].operator.apply_to_indices(hkl)[0], group)
        keys = pack_indices(hkl)
        order = np.argsort(keys)
        intensity = (1 - fraction) * intensity + fraction * intensity[
            order[np.searchsorted(keys[order], pack_indices(mates))]
        ]
    sigma = noise * intensity + 1.0
    return hkl, intensity + rng.normal(size=len(hkl)) * sigma, sigma, cell, group


@pytest.mark.parametrize(("symbol", "cell"), [
    ("P 1", (35, 40, 45, 80, 95, 102)), ("P 21 21 21", (45, 55, 65, 90, 90, 90)), ("P 41", TETRAGONAL),
    ("C 1 2 1", (91, 53, 62, 90, 104, 90)), ("I 2 3", (90, 90, 90, 90, 90, 90)), ("R 3:H", (60, 60, 150, 90, 90, 120)),
])  # fmt: skip
def test_a_single_crystal_has_the_moments_of_wilson(symbol, cell):
    found = diagnose(*crystal(symbol, cell))
    assert found.acentric.second == pytest.approx(2.0, abs=0.08)
    assert found.acentric.amplitude == pytest.approx(np.pi / 4, abs=0.01)
    assert found.acentric.deviation == pytest.approx(2 / np.e, abs=0.02)
    assert found.l_test.mean_abs == pytest.approx(0.5, abs=0.012)
    assert found.l_test.mean_square == pytest.approx(1 / 3, abs=0.012)
    assert not found.is_twinned
    assert not found.warnings()
    for law in found.laws:
        assert law.r_twin == pytest.approx(0.5, abs=0.04)
        assert law.fraction_h_square < 0.03


@pytest.mark.parametrize(("fraction", "mean_abs", "mean_square"), [
    (0.1, 0.440, 0.264), (0.2, 0.408, 0.231), (0.3, 0.389, 0.213), (0.5, 0.375, 0.2),
])  # fmt: skip
def test_the_fraction_of_a_twin_is_found(fraction, mean_abs, mean_square):
    found = diagnose(*crystal("P 41", TETRAGONAL, fraction=fraction))
    assert found.l_test.mean_abs == pytest.approx(mean_abs, abs=0.006)
    assert found.l_test.mean_square == pytest.approx(mean_square, abs=0.006)
    assert found.acentric.second == pytest.approx(2 * (1 - fraction + fraction**2), abs=0.06)
    (law,) = found.laws
    assert law.fraction_h_square == pytest.approx(fraction, abs=0.01)
    assert law.r_twin == pytest.approx(0.5 - fraction, abs=0.02)
    assert law.cc > 0.15
    if fraction < 0.4:
        assert found.l_test.fraction == pytest.approx(fraction, abs=0.03)
        assert law.fraction_britton == pytest.approx(fraction, abs=0.02)
    assert found.is_twinned
    assert found.law is law
    assert "Twin law k,h,-l" in found.warnings()[0]
    assert len(found.tables()) == 2


def test_a_perfect_twin_in_the_symmetry_of_the_lattice_is_told_of():
    hkl, intensity, sigma, cell, _group = crystal("P 41", TETRAGONAL, fraction=0.5)
    higher = space_group("P 41 2 2")
    inside = np.all(asu_indices(hkl, higher)[0] == hkl, axis=1)
    found = diagnose(hkl[inside], intensity[inside], sigma[inside], cell, higher)
    assert found.is_twinned
    assert not found.laws
    assert "Laue group has all the symmetry of the lattice" in found.warnings()[0]


def test_twin_laws_are_the_lattice_rotations_that_the_laue_group_lacks():
    assert [law.name for law in twin_laws(TETRAGONAL, "P 41")] == ["k,h,-l"]
    assert not twin_laws(TETRAGONAL, "P 43 21 2")
    trigonal = twin_laws((60, 60, 80, 90, 90, 120), "P 31")
    assert len(trigonal) == 3
    assert all(law.delta == 0 for law in trigonal)
    (pseudo,) = twin_laws((50, 60, 70, 90, 90.4, 90), "P 1 21 1")
    assert 0.1 < pseudo.delta < 1.0
    centred = twin_laws((80, 80, 60, 90, 90, 90), "I 4")
    for law in centred:
        assert law.operator.apply_to_indices(np.array([[1, 1, 0], [2, 1, 1]]))[1].all()


def test_a_pseudo_translation_is_found_and_a_missed_centring():
    found = diagnose(*crystal("P 1", (42, 48, 60, 90, 95, 90), vector=(0.5, 0.0, 0.5)))
    assert found.translation is not None
    assert found.translation.vector == pytest.approx((0.5, 0.0, 0.5), abs=0.03)
    assert found.translation.nearest == "1/2, 0, 1/2"
    assert found.translation.p_value < 1e-3
    assert not found.is_twinned, "neighbours of the same class are compared"
    assert "peak" in found.warnings()[-1]
    hkl, intensity, _sigma, cell, group = crystal("P 1", (42, 48, 60, 90, 95, 90))
    intensity = np.where(hkl.sum(axis=1) % 2 == 0, intensity, 0.0)
    missed = diagnose(hkl, intensity, np.full(len(hkl), 0.5), cell, group)
    assert missed.translation is not None
    assert missed.translation.is_lattice_vector
    assert missed.translation.vector == pytest.approx((0.5, 0.5, 0.5), abs=0.03)
    assert "centring was missed" in missed.warnings()[-1]


def test_too_few_reflections_tell_nothing():
    hkl, intensity, sigma, cell, group = crystal("P 41", TETRAGONAL, d_min=8.0)
    for n in (0, 1, 50):
        found = diagnose(hkl[:n], intensity[:n], sigma[:n], cell, group)
        assert found.n == 0
        assert not found.is_twinned
        assert not found.tables()
        assert not found.warnings()
    weak = normalised_intensities(hkl, intensity, 10 * intensity, cell, group)
    assert len(weak) == 0


def test_densities_and_distributions_agree_with_simulated_twins():
    rng = np.random.default_rng(3)
    for a in (0.0, 0.17, 0.38, 0.5):
        first, second = ((1 - a) * rng.exponential(size=300_000) + a * rng.exponential(size=300_000) for _ in range(2))
        size = np.abs(first - second) / (first + second)
        counts = np.histogram(size, bins=20, range=(0, 1), density=True)[0]
        expected = _density(np.array([a]))[0].reshape(20, -1).mean(axis=1)
        np.testing.assert_allclose(counts, expected, atol=0.03)
        z = np.linspace(0.05, 1, 6)
        below = np.searchsorted(np.sort(first), z) / len(first)
        np.testing.assert_allclose(below, expected_cumulative(z, a), atol=0.004)


@pytest.mark.parametrize(("fraction", "relative"), [(0.5, 0.0), (0.38, 0.2), (0.2, 0.49)])
def test_mates_of_a_twin_differ_by_more_than_equals(fraction, relative):
    hkl, intensity, _, _cell, _group = crystal("P 41", TETRAGONAL, d_min=4.0, fraction=fraction, noise=0.0)
    four = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]])
    own = [np.linalg.matrix_power(four, k) for k in range(4)]
    two = np.diag([1, -1, -1])
    rng = np.random.default_rng(1)
    every = np.concatenate([hkl @ r for r in own])
    batch = rng.integers(0, 12, len(every))
    factor = rng.uniform(0.7, 1.4, 12)
    value = np.tile(intensity, 4) * (1 + 0.04 * rng.normal(size=len(every))) * factor[batch]
    data = on_one_scale(Measured(every, value, 0.01 * value + 1.0, batch), [*own, *(two @ r for r in own)])
    found = excess(data, own, [*own, *(two @ r for r in own)])
    assert found.relative == pytest.approx(relative, abs=0.06)
    assert found.ratio > 5 or fraction == 0.5
    assert found.ratio < 2 or fraction < 0.5


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.3, 0.45, 0.5])
def test_the_mean_of_l_is_that_of_drawn_intensities(fraction):
    x, y, u, v = np.random.default_rng(3).exponential(size=(4, 200000))
    first, second = (1 - fraction) * x + fraction * y, (1 - fraction) * u + fraction * v
    assert mean_abs_l(fraction) == pytest.approx(np.mean(np.abs(first - second) / (first + second)), abs=0.003)
