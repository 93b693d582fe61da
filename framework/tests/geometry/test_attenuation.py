"""Attenuation of X-rays in sensors."""

from __future__ import annotations

import pytest

from spindle.geometry.attenuation import attenuation_coefficient


@pytest.mark.parametrize(
    ("material", "kev", "mass_attenuation", "density"),
    # NIST Standard Reference Database 126, tabulated points (cm^2/g).
    [("Si", 10.0, 33.89, 2.33), ("Si", 20.0, 4.464, 2.33), ("CdTe", 15.0, 46.57, 6.2), ("GaAs", 20.0, 42.58, 5.32)],
)
def test_attenuation_at_tabulated_energies(material, kev, mass_attenuation, density):
    wavelength = 12.398419843320026 / kev
    assert attenuation_coefficient(material, wavelength) == pytest.approx(mass_attenuation * density / 10, rel=1e-9)


@pytest.mark.parametrize(
    ("wavelength", "mu"), [(0.6889, 1.4153536), (0.97625, 3.9220366), (2.7552, 76.2975781), (1.0, 4.2079859)]
)
def test_attenuation_of_silicon_as_dials_writes_it(wavelength, mu):
    # `mu` of imported.expt by DIALS 3.12.1 for the images of the shared data.
    assert attenuation_coefficient("Si", wavelength) == pytest.approx(mu, rel=1e-6)
