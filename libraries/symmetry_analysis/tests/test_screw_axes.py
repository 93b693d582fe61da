"""Whether axial reflections are enough to tell a screw axis."""

from __future__ import annotations

import numpy as np
import pytest

from spindle_lib_symmetry_analysis.absences import chance_of_weakness, score_axes, score_space_groups, screw_axis_doubts


def axial(rng, n_each, screw, sigma=0.05):
    """Centric intensities with a mean of 1 of the first reflections on three axes; odd ones are absent on axes with a screw."""
    hkl, intensity = [], []
    for axis in range(3):
        for index in range(1, n_each + 1):
            place = np.zeros(3, int)
            place[axis] = index
            hkl.append(place)
            intensity.append(0.0 if screw[axis] and index % 2 else rng.normal() ** 2)
    return np.array(hkl), np.array(intensity) + rng.normal(0, sigma, len(hkl)), np.full(len(hkl), sigma)


def chosen(sample):
    axes = score_axes("P m m m", *sample, "direct", "0.95")
    symbol, _ = max(score_space_groups("P m m m", axes), key=lambda g: g[1])
    return symbol, screw_axis_doubts("P m m m", symbol, axes, "0.95")


def test_chance_is_that_of_centric_intensities():
    rng = np.random.default_rng(1)
    drawn = rng.normal(size=(100_000, 8)) ** 2
    for n in (1, 2):
        known = chance_of_weakness(np.full(n, 0.15), np.full(n, 0.05), np.ones(6))
        share = np.mean((drawn[:, :1] if n == 1 else drawn[:, :2]).max(axis=1) < 0.2 * drawn[:, 2:].mean(axis=1))
        assert known == pytest.approx(share, rel=0.1)


def test_wrong_screw_axes_of_narrow_wedges_are_doubted():
    """A group without screw axes, of which one to three forbidden reflections an axis were measured."""
    rng = np.random.default_rng(2)
    found = [chosen(axial(rng, n, (0, 0, 0))) for n in (2, 3, 4, 6) for _ in range(150)]
    assert sum(symbol != "P 2 2 2" for symbol, _ in found) > 60
    unsaid = np.mean([symbol != "P 2 2 2" and not said for symbol, said in found])
    assert unsaid < 0.03 + 2 * np.sqrt(0.03 / len(found)), "one in a hundred for each of three axes"


def test_screw_axes_that_many_reflections_tell_are_not_doubted():
    rng = np.random.default_rng(3)
    found = [chosen(axial(rng, 24, screw)) for screw in ((1, 1, 1), (0, 1, 1), (0, 0, 0)) for _ in range(40)]
    assert [symbol for symbol, _ in found] == ["P 21 21 21"] * 40 + ["P 2 21 21"] * 40 + ["P 2 2 2"] * 40
    assert sum(bool(said) for _, said in found) <= 2


def test_axes_that_are_not_measured_are_named():
    rng = np.random.default_rng(4)
    hkl, intensity, sigma = axial(rng, 20, (1, 1, 1))
    measured = hkl[:, 1] == 0
    symbol, said = chosen((hkl[measured], intensity[measured], sigma[measured]))
    assert symbol == "P 21 2 21"
    assert said == ["21b is not measured"]


def filled(rng, share, n=12):
    """A screw axis along c whose forbidden reflections are there with a share of the intensity of the others."""
    hkl, intensity, sigma = axial(rng, n, (0, 0, 0), sigma=0.002)
    forbidden = (hkl[:, 2] % 2 == 1) & (hkl[:, 2] != 0)
    return hkl, np.where(forbidden, share * intensity, intensity), sigma


def of_c(sample, electrons):
    axes = score_axes("P m m m", *sample, "direct", "0.95")
    symbol, _ = max(score_space_groups("P m m m", axes), key=lambda g: g[1])
    said = screw_axis_doubts("P m m m", symbol, axes, "0.95", electrons)
    return [text for text in said if "21c" in text and "more than once" in text]


def test_electrons_that_fill_absences_exclude_no_screw_axis():
    rng = np.random.default_rng(5)
    samples = [filled(rng, 0.1) for _ in range(100)]
    assert not any(of_c(sample, False) for sample in samples)
    told = [said for sample in samples if (said := of_c(sample, True))]
    assert len(told) > 75  # those with a score that excludes the axis
    shares = [float(said[0].split(" have ")[1].split(" %")[0]) for said in told]
    assert np.median(shares) == pytest.approx(10, abs=5)


def test_reflections_as_strong_as_the_others_exclude_a_screw_axis_with_electrons_too():
    rng = np.random.default_rng(6)
    found = [bool(of_c(filled(rng, 1.0), True)) for _ in range(400)]
    assert 0.01 < np.mean(found) < 0.09, "one in twenty by chance"
