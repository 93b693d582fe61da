"""Linear attenuation coefficients of materials of a known composition and density.

Total mass attenuation coefficients, coherent scattering included, of J. H. Hubbell and S. M. Seltzer, "Tables of X-Ray Mass Attenuation
Coefficients", NIST Standard Reference Database 126 (public domain), 1 to 200 keV, interpolated in log-log between the tabulated energies.
Photons that scatter on the way are lost to a spot, and so belong to what attenuates it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np

from spindle.errors import ModelError

__all__ = ["Material"]

# h c / e in keV angstrom, CODATA 2018 (exact).
KEV_ANGSTROM = 12.398419843320026

# Standard atomic weights, IUPAC 2021, abridged.
WEIGHTS = {
    "H": 1.008, "He": 4.0026, "Li": 6.94, "Be": 9.0122, "B": 10.81, "C": 12.011, "N": 14.007, "O": 15.999, "F": 18.998,
    "Ne": 20.180, "Na": 22.990, "Mg": 24.305, "Al": 26.982, "Si": 28.085, "P": 30.974, "S": 32.06, "Cl": 35.45,
    "Ar": 39.95, "K": 39.098, "Ca": 40.078, "Ti": 47.867, "V": 50.942, "Cr": 51.996, "Mn": 54.938, "Fe": 55.845,
    "Co": 58.933, "Ni": 58.693, "Cu": 63.546, "Zn": 65.38, "Ge": 72.630, "Mo": 95.95, "Ag": 107.87, "W": 183.84,
    "Pt": 195.08, "Au": 196.97, "Pb": 207.2,
}  # fmt: skip
_PART = re.compile(r"([A-Z][a-z]?)(\d+(?:\.\d+)?)?")


@dataclass(frozen=True)
class Material:
    """What a body is made of.

    Attributes
    ----------
    formula : str
        Elements and their numbers, such as "C22H10N2O5"; without brackets.
    density : float, g/cm^3
    """

    formula: str
    density: float

    @property
    def mass(self) -> float:
        """Of one unit of the formula, dalton."""
        return sum(number * WEIGHTS[element] for element, number in _elements(self.formula).items())

    def coefficient(self, wavelength: float) -> float:
        """Linear attenuation coefficient.

        Parameters
        ----------
        wavelength : float, angstrom

        Returns
        -------
        float, 1/mm

        Raises
        ------
        ModelError
            For a formula that is none, an element without a table, or photons of less than 1 or more than 200 keV.
        """
        # 1/cm to 1/mm
        return mass_attenuation(self.formula, wavelength) * self.density / 10.0


@lru_cache(maxsize=1)
def _tables() -> dict[str, np.ndarray]:
    """(n, 2): logarithms of keV and cm^2/g of each element; an absorption edge is an energy that appears twice."""
    text = files(__package__).joinpath("mass_attenuation.json").read_text()
    return {name: np.log(np.array(pairs).reshape(-1, 2)) for name, pairs in json.loads(text).items()}


def _elements(formula: str) -> dict[str, float]:
    """Numbers of atoms."""
    numbers: dict[str, float] = {}
    for element, number in _PART.findall(formula):
        numbers[element] = numbers.get(element, 0.0) + float(number or 1.0)
    if not formula or "".join(a + b for a, b in _PART.findall(formula)) != formula or not any(numbers.values()):
        raise ModelError(
            f"'{formula}' is no formula: write elements and their numbers without brackets, such as C22H10N2O5"
        )
    unknown = [element for element in numbers if element not in WEIGHTS]
    if unknown:
        raise ModelError(
            f"'{formula}': no attenuation is known of {', '.join(unknown)}; known are {', '.join(WEIGHTS)}. Give the coefficient "
            "itself (attenuation=, 1/mm) instead"
        )
    return numbers


@lru_cache(maxsize=256)
def mass_attenuation(formula: str, wavelength: float) -> float:
    """Total mass attenuation coefficient of a compound (cm^2/g): the mean of its elements by mass."""
    numbers = _elements(formula)
    energy = KEV_ANGSTROM / wavelength if wavelength > 0 else np.inf
    if not 1.0 <= energy <= 200.0:
        raise ModelError(
            f"photons of {wavelength} A have {energy:.4g} keV; attenuation in {formula} is tabulated for 1 to 200 keV: check the wavelength"
        )
    tables = _tables()
    masses = {element: number * WEIGHTS[element] for element, number in numbers.items()}
    total = 0.0
    for element, mass in masses.items():
        energies, values = tables[element].T
        # above an edge: the second of two equal energies
        i = min(max(int(np.searchsorted(energies, np.log(energy), "right")) - 1, 0), len(energies) - 2)
        t = (np.log(energy) - energies[i]) / (energies[i + 1] - energies[i])
        total += mass * float(np.exp((1.0 - t) * values[i] + t * values[i + 1]))
    return total / sum(masses.values())
