"""Attenuation of X-rays in sensor materials.

Mass attenuation coefficients of J. H. Hubbell and S. M. Seltzer, "Tables of X-Ray Mass Attenuation Coefficients", NIST
Standard Reference Database 126 (public domain), 1 to 200 keV; interpolated between the tabulated energies in log-log,
as the tables advise. Densities (g/cm^3) as in the same tables.
"""

from __future__ import annotations

import math
from functools import lru_cache

from spindle.errors import ModelError

# h c / e in keV angstrom, CODATA 2018 (exact).
KEV_ANGSTROM = 12.398419843320026

# Nothing but electrons is used for diffraction at shorter wavelengths (photons would have 207 keV).
ELECTRONS_BELOW_A = 0.06

DENSITIES = {"Si": 2.33, "CdTe": 6.2, "GaAs": 5.32}

# Pairs of keV and cm^2/g; an absorption edge is an energy that appears twice.
_TABLES = {
    "Si": (
        1.0, 1570.0, 1.5, 535.5, 1.8389, 309.2, 1.8389, 3192.0, 2.0, 2777.0, 3.0, 978.4, 4.0, 452.9,
        5.0, 245.0, 6.0, 147.0,
        8.0, 64.68, 10.0, 33.89, 15.0, 10.34, 20.0, 4.464, 30.0, 1.436, 40.0, 0.7012, 50.0, 0.4385,
        60.0, 0.3207, 80.0, 0.2228,
        100.0, 0.1835, 150.0, 0.1448, 200.0, 0.1275,
    ),
    "CdTe": (
        1.0, 7927.0, 1.003, 7875.0, 1.006, 7824.0, 1.006, 8014.0, 1.5, 3291.0, 2.0, 1664.0, 3.0, 614.6, 3.537, 406.4,
        3.537, 778.7, 3.631, 730.0, 3.727, 684.0, 3.727, 860.1, 4.0, 723.0, 4.018, 715.1, 4.018, 793.4, 4.177, 722.1,
        4.341, 656.2, 4.341, 932.8, 4.475, 873.9, 4.612, 813.5, 4.612, 943.8, 4.773, 870.2, 4.939, 799.9, 4.939, 865.3,
        5.0, 839.2, 6.0, 528.6, 8.0, 249.2, 10.0, 138.1, 15.0, 46.57, 20.0, 21.44, 26.711, 9.834,
        26.711, 29.43, 30.0, 21.82,
        31.814, 18.73, 31.814, 34.92, 40.0, 19.3, 50.0, 10.67, 60.0, 6.542, 80.0, 3.019, 100.0, 1.671, 150.0, 0.6071,
        200.0, 0.3246,
    ),
    "GaAs": (
        1.0, 1917.0, 1.05613, 1685.0, 1.1154, 1481.0, 1.1154, 2772.0, 1.12877, 3180.0, 1.1423, 3532.0, 1.1423, 4372.0,
        1.21752, 4130.0, 1.2977, 3657.0, 1.2977, 4066.0, 1.31034, 3971.0, 1.3231, 3879.0,
        1.3231, 5652.0, 1.34073, 5525.0,
        1.3586, 5415.0, 1.3586, 6266.0, 1.5, 5159.0, 1.5265, 4939.0, 1.5265, 5278.0, 2.0, 2731.0,
        3.0, 970.2, 4.0, 453.9,
        5.0, 249.5, 6.0, 152.4, 8.0, 69.6, 10.0, 37.8, 10.3671, 34.25, 10.3671, 126.0, 11.0916, 105.9, 11.8667, 88.99,
        11.8667, 168.5, 15.0, 92.2, 20.0, 42.58, 30.0, 13.97, 40.0, 6.262, 50.0, 3.365, 60.0, 2.042, 80.0, 0.9587,
        100.0, 0.5598, 150.0, 0.2509, 200.0, 0.1671,
    ),
}  # fmt: skip


@lru_cache(maxsize=256)
def attenuation_coefficient(material: str, wavelength: float) -> float:
    """Linear attenuation coefficient of a sensor material.

    Parameters
    ----------
    material : "Si", "CdTe" or "GaAs"
    wavelength : float, angstrom

    Returns
    -------
    float, 1/mm

    Raises
    ------
    ModelError
        For an unknown material or a photon energy outside 1 to 200 keV.
    """
    table = _TABLES.get(material)
    if table is None:
        raise ModelError(
            f"no attenuation table for the sensor material '{material}' (known: {', '.join(sorted(_TABLES))}); "
            "set geometry.detector.panel.material=, or geometry.parallax=none to go without a depth correction"
        )
    energy = KEV_ANGSTROM / wavelength
    energies, values = table[0::2], table[1::2]
    if ELECTRONS_BELOW_A <= wavelength < KEV_ANGSTROM / energies[-1]:
        energy = energies[-1]  # the few keV between the end of the table and electrons; the coefficient hardly changes
    if not energies[0] <= energy <= energies[-1]:
        raise ModelError(
            f"photons of {wavelength} A have {energy:.4g} keV; attenuation in {material} is tabulated for "
            f"{energies[0]:g} to {energies[-1]:g} keV: check geometry.beam.wavelength="
        )
    i = next(i for i in range(len(energies) - 1) if energy <= energies[i + 1] and energies[i + 1] > energies[i])
    t = math.log(energy / energies[i]) / math.log(energies[i + 1] / energies[i])
    mass_attenuation = math.exp((1.0 - t) * math.log(values[i]) + t * math.log(values[i + 1]))
    return mass_attenuation * DENSITIES[material] / 10.0


def sensor_depth(
    material: str, thickness: float, wavelength: float, parallax: str, probe: str = "x-ray"
) -> tuple[float, str]:
    """Attenuation in a sensor, and the correction for the depth at which it stops the beam.

    Electrons give their energy up in the first fraction of a pixel, neutrons in a converter, so that there is no depth to
    allow for.

    Parameters
    ----------
    material : str
        "" for an unknown one.
    thickness : float, mm
        0 when unknown.
    wavelength : float, angstrom
    parallax : "normalised", "dials" or "none"
        Wanted for photons.
    probe : "x-ray", "electron" or "neutron"
        Photons shorter than `ELECTRONS_BELOW_A` are taken for electrons.

    Returns
    -------
    (float, str)
        Coefficient (1/mm), 0 for none, and the correction, "none" without coefficient.

    Raises
    ------
    ModelError
        For photons in an unknown material; see `attenuation_coefficient`.
    """
    if not material or thickness <= 0 or probe != "x-ray" or wavelength < ELECTRONS_BELOW_A:
        return 0.0, "none"
    return attenuation_coefficient(material, wavelength), parallax
