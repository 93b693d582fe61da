"""What differs from sweep to sweep: angles, axes, wavelength, numbers of images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from spindle.errors import ParameterError
from spindle.geometry import ELECTRONS_BELOW_A
from spindle.params import Auto

from .params import SimulateParams

__all__ = ["BEAM", "Rotation", "SweepSettings", "rotation", "sweep_settings", "usual_probe"]

BEAM = np.array([0.0, 0.0, -1.0])  # from the source to the sample

# Axes of each goniometer from the crystal to the base.
AXES = {"single": ("omega",), "kappa": ("phi", "kappa", "omega"), "chi": ("phi", "chi", "omega")}


@dataclass(frozen=True, slots=True)
class Rotation:
    """The goniometer in one sweep.

    Attributes
    ----------
    names : tuple of str
        Axes from the crystal to the base.
    axes : (n, 3) float64
        Their directions, all at zero.
    angles : (n,) float64, deg
        Their settings; the angle at the start of the scan for the scan axis.
    scan_axis : int
    """

    names: tuple[str, ...]
    axes: np.ndarray
    angles: np.ndarray
    scan_axis: int

    @property
    def fixed(self) -> np.ndarray:
        """(3, 3): what the axes between crystal and scan axis do to the crystal."""
        return self._product(range(self.scan_axis))

    @property
    def setting(self) -> np.ndarray:
        """(3, 3): what the axes between scan axis and base do."""
        return self._product(range(self.scan_axis + 1, len(self.axes)))

    @property
    def axis(self) -> np.ndarray:
        """(3,): the scan axis in the laboratory."""
        return np.asarray(self.setting @ self.axes[self.scan_axis])

    def _product(self, numbers: range) -> np.ndarray:
        out = np.eye(3)
        for k in numbers:
            out = rotation(self.axes[k], np.radians(self.angles[k])) @ out
        return out


@dataclass(frozen=True, slots=True)
class SweepSettings:
    """One sweep.

    Attributes
    ----------
    number : int
        From 1.
    n_images, first_image : int
    start, oscillation : float, deg
        As the header says; a negative oscillation turns backwards, that of stills is 0.
    wavelength : float, angstrom
    probe : str
        "x-ray", "electron" or "neutron".
    two_theta : float, deg
    rotation : Rotation
    missing : frozenset of int
        Numbers of images that are not written.
    """

    number: int
    n_images: int
    first_image: int
    start: float
    oscillation: float
    wavelength: float
    probe: str
    two_theta: float
    rotation: Rotation
    missing: frozenset[int]

    @property
    def sense(self) -> float:
        """1, or -1 when the axis turns backwards."""
        return 1.0 if self.oscillation >= 0 else -1.0


def sweep_settings(params: SimulateParams) -> list[SweepSettings]:
    """The sweeps that the parameters describe: as many as the longest list of settings.

    Raises
    ------
    ParameterError
        If lists have different lengths, or a setting is impossible.
    """
    p, g = params.scan, params.goniometer
    lists: dict[str, tuple[Any, ...]] = {
        "scan.n_images": p.n_images,
        "scan.oscillation": p.oscillation,
        "scan.start": p.start,
        "scan.first_image": p.first_image,
        "beam.wavelength": params.beam.wavelength,
        "detector.two_theta": params.detector.two_theta,
        "goniometer.scan_axis": g.scan_axis,
        **{f"goniometer.{name}": getattr(g, name) for name in ("omega", "kappa", "chi", "phi")},
    }
    number = max(len(values) for values in lists.values())
    for name, values in lists.items():
        if len(values) not in (1, number):
            raise ParameterError(
                f"{name}={','.join(map(str, values))}: {len(values)} settings, but there are {number} sweeps; give one "
                "for all or one for each"
            )
    _check(lists, "scan.n_images", lambda v: v >= 1, "at least 1")
    _check(lists, "scan.first_image", lambda v: v >= 0, "0 or more")
    _check(lists, "scan.oscillation", lambda v: 1e-4 <= abs(v) <= 30, "between 0.0001 and 30 deg, or that backwards")
    _check(lists, "beam.wavelength", lambda v: 0.005 <= v <= 10, "between 0.005 and 10 A")
    _check(lists, "goniometer.scan_axis", lambda v: v in AXES[g.geometry], f"one of {', '.join(AXES[g.geometry])}")
    sweeps = []
    for k in range(number):
        one = {name: values[k if len(values) > 1 else 0] for name, values in lists.items()}
        sweeps.append(
            SweepSettings(
                number=k + 1,
                n_images=one["scan.n_images"],
                first_image=one["scan.first_image"],
                start=one["scan.start"],
                oscillation=0.0 if p.stills else one["scan.oscillation"],
                wavelength=one["beam.wavelength"],
                probe=probe_of(params, one["beam.wavelength"]),
                two_theta=one["detector.two_theta"],
                rotation=_rotation(params, one),
                missing=frozenset(p.missing),
            )
        )
    return sweeps


def probe_of(params: SimulateParams, wavelength: float) -> str:
    """What the beam of a wavelength (angstrom) is of."""
    probe = params.beam.probe
    return usual_probe(wavelength) if probe is Auto else str(probe)


def usual_probe(wavelength: float) -> str:
    """What readers take a beam for whose wavelength (angstrom) is all they know."""
    return "electron" if wavelength < ELECTRONS_BELOW_A else "x-ray"


def _check(lists: dict[str, tuple[Any, ...]], name: str, is_good: Callable[[Any], bool], expected: str) -> None:
    for value in lists[name]:
        if not is_good(value):
            raise ParameterError(f"{name}={value}: must be {expected}")


def _rotation(params: SimulateParams, one: dict[str, Any]) -> Rotation:
    """The axes of the goniometer with the settings of one sweep."""
    g = params.goniometer
    omega = np.array(g.axis, float)
    length = np.linalg.norm(omega)
    across = np.cross(omega, BEAM)
    if length == 0 or np.linalg.norm(across) < 1e-3 * length:
        raise ParameterError(
            f"goniometer.axis={','.join(map(str, g.axis))}: must have a direction that is not that of the beam (0,0,-1)"
        )
    omega, across = omega / length, across / np.linalg.norm(across)
    alpha = np.radians(g.alpha)
    directions = {
        "omega": omega,
        "phi": omega,
        "kappa": np.cos(alpha) * omega + np.sin(alpha) * across,
        "chi": np.cross(omega, across),
    }
    names = AXES[g.geometry]
    scan_axis = names.index(one["goniometer.scan_axis"])
    angles = [one["scan.start"] if k == scan_axis else one[f"goniometer.{name}"] for k, name in enumerate(names)]
    return Rotation(names, np.stack([directions[name] for name in names]), np.array(angles, float), scan_axis)


def rotation(axis: np.ndarray, angle: float) -> np.ndarray:
    """Rotation matrix (3, 3), active and right-handed, about a unit vector by an angle in rad."""
    x, y, z = axis
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * cross @ cross)
