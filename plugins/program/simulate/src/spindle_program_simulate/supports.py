"""What carries the crystal and takes photons away: a tape beside it, two anvils about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from spindle.errors import ParameterError
from spindle.params import Auto
from spindle_lib_attenuators import KAPTON, Material, edge_tape_paths, plate_paths

from .instrument import Instrument
from .settings import BEAM

__all__ = ["Anvils", "Supports", "Tape", "build_supports"]

LEAST_COSINE = 0.01  # what runs along the anvils is stopped by the gasket


@dataclass(frozen=True, slots=True)
class Tape:
    """A flat tape that stands still; see `spindle_lib_attenuators.edge_tape_paths`.

    Attributes
    ----------
    height, half_width, thickness : float, mm
    angle : float, rad
    mu : float, 1/mm
    """

    height: float
    angle: float
    half_width: float
    thickness: float
    mu: float

    def transmission(self, directions: np.ndarray) -> np.ndarray:
        """(n,): share of the photons along directions (n, 3) that come through."""
        paths = edge_tape_paths(directions, BEAM, self.height, self.angle, self.half_width, self.thickness)
        return np.asarray(np.exp(-self.mu * paths))


@dataclass(frozen=True, slots=True)
class Anvils:
    """Two plates that turn with the crystal.

    Attributes
    ----------
    normal : (3,) float64, unit vector
        With all axes of the goniometer at zero.
    thickness : float, mm
        Of each.
    mu : float, 1/mm
    """

    normal: np.ndarray
    thickness: float
    mu: float

    def transmission(self, directions: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """(n,): share of the incident times share of the diffracted photons along directions (n, 3) that come through.

        ``normals`` (n, 3) or (3,): the turned normal of each.
        """
        open_ = np.minimum(np.abs(normals @ BEAM), np.abs(np.sum(directions * normals, axis=-1))) > LEAST_COSINE
        ways = plate_paths(BEAM, normals, self.thickness) + plate_paths(directions, normals, self.thickness)
        return np.where(open_, np.exp(-self.mu * ways), 0.0)


@dataclass(frozen=True, slots=True)
class Supports:
    """What there is; None for what there is not."""

    tape: Tape | None = None
    anvils: Anvils | None = None

    def tape_image(self, instrument: Instrument) -> np.ndarray:
        """(ny, nx) float32: share of the photons towards each pixel that the tape lets through; (0, 0) without one."""
        if self.tape is None:
            return np.zeros((0, 0), np.float32)
        return _image(instrument, self.tape.transmission)

    def anvil_image(self, instrument: Instrument, normal: np.ndarray) -> np.ndarray:
        """(ny, nx) float32: share of the scatter towards each pixel that the anvils, turned to a normal (3,), let through."""
        anvils = self.anvils
        if anvils is None:
            raise ValueError("there are no anvils")
        return _image(instrument, lambda directions: anvils.transmission(directions, normal))


def _image(instrument: Instrument, transmission: Any) -> np.ndarray:
    nx, ny = instrument.image_size
    image, panels = np.ones((ny, nx), np.float32), instrument.panels
    for k in range(len(panels)):
        (x0, y0), (width, height) = panels.offset[k], panels.size[k]
        y, x = np.mgrid[0:height, 0:width]
        rays = panels.laboratory(k, np.stack([x, y], axis=-1) + 0.5).reshape(-1, 3)
        rays /= np.linalg.norm(rays, axis=1)[:, None]
        image[y0 : y0 + height, x0 : x0 + width] = transmission(rays).reshape(height, width)
    return image


def build_supports(params: Any, wavelength: float) -> Supports:
    """What the scope ``support`` describes, for X-rays of a wavelength (angstrom)."""
    tape, anvils = params.tape, params.anvils

    def mu(scope: Any, material: Material) -> float:
        return material.coefficient(wavelength) if scope.attenuation is Auto else float(scope.attenuation)

    found_tape = found_anvils = None
    if tape.thickness > 0:
        found_tape = Tape(tape.height, float(np.radians(tape.angle)), tape.half_width, tape.thickness, mu(tape, KAPTON))
    if anvils.thickness > 0:
        normal = np.array(anvils.normal, float)
        length = float(np.linalg.norm(normal))
        if length < 1e-9:
            raise ParameterError(
                "support.anvils.normal=0,0,0: a normal has a direction; give numbers that are not all 0"
            )
        found_anvils = Anvils(normal / length, anvils.thickness, mu(anvils, Material("C", anvils.density / 1000.0)))
    return Supports(found_tape, found_anvils)
