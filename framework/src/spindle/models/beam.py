"""The incident beam."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spindle.errors import ModelError

from .arrays import fixed_array, number, unit_vector
from .descriptions import Described, numbers

WAVELENGTHS = (0.001, 100.0)  # angstrom: 10 MeV electrons to soft X-rays
PROBES = ("x-ray", "electron", "neutron")


@dataclass(frozen=True, eq=False)
class Beam(Described):
    """A monochromatic beam.

    Attributes
    ----------
    direction : (3,) float64
        Unit vector from the sample towards the source.
    wavelength : float, angstrom
    polarization_normal : (3,) float64
        Unit normal of the polarisation plane.
    polarization_fraction : float
        1 is fully polarised, 0.5 unpolarised.
    divergence_deg, sigma_divergence_deg : float, degrees
    flux, transmission : float
    probe : "x-ray", "electron" or "neutron"
    s0_at_scan_points : (n_images + 1, 3) float64, 1/angstrom, or None
        Beam vectors at image edges.
    extra : dict
        Unknown keys of the file, kept for writing.
    """

    direction: np.ndarray
    wavelength: float
    polarization_normal: np.ndarray = field(default_factory=lambda: np.array([0.0, 1.0, 0.0]))
    polarization_fraction: float = 0.999
    divergence_deg: float = 0.0
    sigma_divergence_deg: float = 0.0
    flux: float = 0.0
    transmission: float = 1.0
    probe: str = "x-ray"
    s0_at_scan_points: np.ndarray | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "direction", unit_vector(self.direction, "beam direction"))
        object.__setattr__(self, "polarization_normal", unit_vector(self.polarization_normal, "polarization_normal"))
        try:
            object.__setattr__(self, "wavelength", number(self.wavelength, "the wavelength", *WAVELENGTHS, "A"))
        except ModelError as error:
            raise ModelError(f"{error}; set geometry.beam.wavelength=") from error
        fraction = number(self.polarization_fraction, "the polarization fraction", 0.0, 1.0)
        object.__setattr__(self, "polarization_fraction", fraction)
        for name in ("divergence_deg", "sigma_divergence_deg", "flux", "transmission"):
            object.__setattr__(self, name, number(getattr(self, name), f"the beam's {name}"))
        if self.probe not in PROBES:
            raise ModelError(f"the beam is of {self.probe!r}; Spindle knows the probes {', '.join(PROBES)}")
        if self.s0_at_scan_points is not None:
            points = fixed_array(self.s0_at_scan_points, (-1, 3), "s0_at_scan_points")
            lengths = np.linalg.norm(points, axis=1)
            for length in lengths[(lengths < 1 / WAVELENGTHS[1]) | (lengths > 1 / WAVELENGTHS[0])]:
                raise ModelError(f"s0_at_scan_points holds a vector of {length:g} 1/A: no wavelength belongs to it")
            object.__setattr__(self, "s0_at_scan_points", points)

    def described(self) -> tuple[str, list[tuple[str, str]]]:
        """Wavelength, direction, polarisation; see `Described`."""
        rows = [
            ("wavelength", f"{self.wavelength:.6g} A ({self.probe})"),
            ("towards the source", numbers(self.direction)),
            ("polarisation", f"{self.polarization_fraction:.4g}, normal {numbers(self.polarization_normal)}"),
        ]
        if self.s0_at_scan_points is not None:
            rows.append(("with the scan", f"varies, {len(self.s0_at_scan_points)} points"))
        return "Beam", rows

    @property
    def s0(self) -> np.ndarray:
        """(3,) float64, 1/angstrom: wave vector of the incident beam, pointing from source to sample."""
        return np.asarray(-self.direction / self.wavelength)

    def with_s0(self, s0: np.ndarray, **changes: Any) -> Beam:
        """The beam with another wave vector; sets direction and wavelength."""
        from dataclasses import replace

        length = float(np.linalg.norm(s0))
        return replace(self, direction=-np.asarray(s0) / length, wavelength=1.0 / length, **changes)
