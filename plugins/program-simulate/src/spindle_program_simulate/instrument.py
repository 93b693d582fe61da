"""The detector as it is (`truth`) and as the image headers say it is, and the state of its pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spindle.errors import ParameterError
from spindle.geometry.attenuation import attenuation_coefficient
from spindle.params import Auto

from .kernels import LIVE, OPEN
from .parameters import SimulateParams

__all__ = ["BEAM", "ROTATION_AXIS", "Instrument", "build_instrument"]

BEAM = np.array([0.0, 0.0, -1.0])  # from the source to the sample
ROTATION_AXIS = np.array([1.0, 0.0, 0.0])
POLARISATION_NORMAL = np.array([0.0, 1.0, 0.0])

MODULE = (487, 195)  # pixels of a Pilatus module, fast and slow
GAP = (7, 17)  # insensitive pixels between modules
MODULES = {"300K": (1, 3), "1M": (2, 5), "2M": (3, 8), "6M": (5, 12)}
NAMES = {"300K": "PILATUS 300K", "1M": "PILATUS 1M", "2M": "PILATUS 2M", "6M": "PILATUS 6M"}
STOP_ARM = 0.45  # mm, half width of the arm that holds the beamstop

GAP_VALUE, DEAD_VALUE = -1, -2


@dataclass(frozen=True, slots=True)
class Instrument:
    """Beam and detector.

    Attributes
    ----------
    panel : (3, 3) float64, mm
        Rows fast, slow, origin of the true detector.
    pixel_size : float, mm
    image_size : (int, int)
        Pixels, fast and slow.
    mu, thickness : float, 1/mm and mm
        Of the sensor.
    beam_centre : (2,) float64, px
        True place where the beam meets the detector.
    header_distance, header_beam_centre
        What the image headers say, mm and px.
    pixel_state : (ny, nx) uint8
        Bits LIVE and OPEN.
    blank : (ny, nx) int32
        An image without counts: 0, or the value that marks gaps and dead pixels.
    dead : (ny, nx) bool
        Gaps and dead pixels.
    hot_pixels : (h, 2) int64
        y, x.
    hot_rate : (h,) float64
        Mean counts per image.
    name : str
        As image headers name the detector.
    wavelength : float, angstrom
    """

    panel: np.ndarray
    pixel_size: float
    image_size: tuple[int, int]
    mu: float
    thickness: float
    beam_centre: np.ndarray
    header_distance: float
    header_beam_centre: np.ndarray
    pixel_state: np.ndarray
    blank: np.ndarray
    dead: np.ndarray
    hot_pixels: np.ndarray
    hot_rate: np.ndarray
    name: str
    wavelength: float

    @property
    def fast(self) -> np.ndarray:
        return self.panel[0]

    @property
    def slow(self) -> np.ndarray:
        return self.panel[1]

    @property
    def origin(self) -> np.ndarray:
        return self.panel[2]

    @property
    def normal(self) -> np.ndarray:
        return np.cross(self.fast, self.slow)

    @property
    def distance(self) -> float:
        """Distance along the beam, mm."""
        return float((self.origin @ self.normal) / (BEAM @ self.normal))

    def laboratory(self, xy: np.ndarray) -> np.ndarray:
        """Laboratory points (..., 3) in mm of pixel coordinates (..., 2)."""
        mm = np.asarray(xy) * self.pixel_size
        return self.origin + mm[..., :1] * self.fast + mm[..., 1:] * self.slow

    def intersect(self, s1: np.ndarray) -> np.ndarray:
        """Pixel coordinates (n, 2) where rays (n, 3) meet the front of the sensor; nan where they go away from it."""
        toward = s1 @ self.normal
        distance = self.origin @ self.normal
        with np.errstate(divide="ignore", invalid="ignore"):
            path = np.where(toward * distance > 0, distance / toward, np.nan)
        relative = path[:, None] * s1 - self.origin
        return np.stack([relative @ self.fast, relative @ self.slow], axis=1) / self.pixel_size

    def corner_resolution(self) -> float:
        """Resolution of the pixel corner that is furthest from the beam, angstrom."""
        nx, ny = self.image_size
        return float(self.resolution(np.array([[0, 0], [nx, 0], [0, ny], [nx, ny]], float)).min())

    def edge_resolution(self) -> float:
        """Resolution at the nearest edge of the detector: to here it sees every direction, angstrom."""
        nx, ny = self.image_size
        x, y = self.beam_centre
        return float(self.resolution(np.array([[0, y], [nx, y], [x, 0], [x, ny]], float)).max())

    def resolution(self, xy: np.ndarray) -> np.ndarray:
        """Resolution in angstrom at pixel coordinates (..., 2)."""
        points = self.laboratory(xy)
        cosine = (points @ BEAM) / np.linalg.norm(points, axis=-1)
        sine = np.sqrt(np.maximum((1.0 - cosine) / 2.0, 1e-18))
        return self.wavelength / (2.0 * sine)

    def quantum_efficiency(self, s1: np.ndarray) -> np.ndarray:
        """Fraction of photons along rays (..., 3) that the sensor stops."""
        cosine = np.abs(s1 @ self.normal) / np.linalg.norm(s1, axis=-1)
        return 1.0 - np.exp(-self.mu * self.thickness / cosine)

    def mean_depth(self, s1: np.ndarray) -> np.ndarray:
        """Mean path in the sensor of the photons that it stops, mm."""
        path = self.thickness / (np.abs(s1 @ self.normal) / np.linalg.norm(s1, axis=-1))
        lost = np.exp(-self.mu * path)
        return 1.0 / self.mu - path * lost / (1.0 - lost)


def build_instrument(params: SimulateParams, rng: np.random.Generator) -> Instrument:
    """Make the detector that the parameters describe."""
    p = params.detector
    if p.model == "custom":
        nx, ny = (int(v) for v in p.image_size)
        name = f"PILATUS {nx}x{ny}"
        gaps = np.zeros((ny, nx), bool)
    else:
        columns, rows = MODULES[p.model]
        nx, ny = columns * (MODULE[0] + GAP[0]) - GAP[0], rows * (MODULE[1] + GAP[1]) - GAP[1]
        name = NAMES[p.model]
        gaps = (np.arange(ny)[:, None] % (MODULE[1] + GAP[1]) >= MODULE[1]) | (
            np.arange(nx)[None, :] % (MODULE[0] + GAP[0]) >= MODULE[0]
        )
    centre = np.array([0.505 * nx, 0.515 * ny]) if p.beam_centre is Auto else np.array(p.beam_centre)
    tilt = np.radians(p.tilt)
    fast, slow = np.array([1.0, 0.0, 0.0]), np.array([0.0, -1.0, 0.0])
    for axis, angle in zip((fast, slow, np.cross(fast, slow)), tilt, strict=True):
        turn = rotation(axis, angle)
        fast, slow = turn @ fast, turn @ slow
    # the beam still meets the detector at `centre`, at the true distance
    origin = p.distance * BEAM - p.pixel_size * (centre[0] * fast + centre[1] * slow)
    if origin @ np.cross(fast, slow) * (BEAM @ np.cross(fast, slow)) <= 0:
        raise ParameterError(f"detector.tilt={p.tilt}: the detector would look away from the crystal")
    live = ~gaps
    good = np.flatnonzero(live)
    chosen = rng.choice(good, size=min(p.dead_pixels + p.hot_pixels, len(good)), replace=False)
    dead_pixels, hot_pixels = np.divmod(chosen[: p.dead_pixels], nx), np.divmod(chosen[p.dead_pixels :], nx)
    dead = gaps.copy()
    dead[dead_pixels] = True
    blank = np.where(gaps, GAP_VALUE, 0).astype(np.int32)
    blank[dead_pixels] = DEAD_VALUE
    y, x = np.mgrid[0:ny, 0:nx]
    from_beam = (np.stack([x, y]) + 0.5 - centre[:, None, None]) * p.pixel_size
    shadow = (np.hypot(*from_beam) < p.beamstop) | ((np.abs(from_beam[0]) < STOP_ARM) & (from_beam[1] > 0))
    shadow &= p.beamstop > 0
    state = np.where(dead, 0, LIVE) | np.where(shadow, 0, OPEN)
    return Instrument(
        panel=np.stack([fast, slow, origin]),
        pixel_size=p.pixel_size,
        image_size=(nx, ny),
        mu=attenuation_coefficient("Si", params.beam.wavelength),
        thickness=p.thickness,
        beam_centre=centre,
        header_distance=p.distance + p.distance_error,
        header_beam_centre=centre + np.array(p.beam_centre_error),
        pixel_state=state.astype(np.uint8),
        blank=blank,
        dead=dead,
        hot_pixels=np.stack(hot_pixels, axis=1).astype(np.int64),
        hot_rate=10.0 ** rng.uniform(1.5, 3.5, p.hot_pixels),
        name=name,
        wavelength=params.beam.wavelength,
    )


def rotation(axis: np.ndarray, angle: float) -> np.ndarray:
    """Rotation matrix (3, 3), active and right-handed, about a unit vector by an angle in rad."""
    x, y, z = axis
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * cross @ cross
