"""The detector as it is (`truth`) and as the image headers say it is, and the state of its pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from spindle.errors import ParameterError
from spindle.geometry import attenuation_coefficient

from .kernels import LIVE, OPEN
from .panels import Canvas, Panels, build_canvas, build_panels
from .params import SimulateParams
from .settings import BEAM, SweepSettings, rotation

__all__ = ["POLARISATION_NORMAL", "Instrument", "Response", "build_instruments"]

POLARISATION_NORMAL = np.array([0.0, 1.0, 0.0])
STOP_ARM = 0.45  # mm, half width of the arm that holds the beamstop
CUTOFF = 1048500  # counts; the range of a Pilatus counter
GAP_VALUE, DEAD_VALUE = -1, -2  # where counts are never negative
MARK = -(2**20)  # marks both where counts may be negative


@dataclass(frozen=True, slots=True)
class Response:
    """From photons to counts.

    Attributes
    ----------
    gain : float
        Counts per photon.
    offset, noise : float, counts
        Mean and standard deviation of a pixel without photons.
    cutoff : int
        Highest count.
    point_spread : (float, float, float)
        See `trace_reflections`.
    """

    gain: float
    offset: float
    noise: float
    cutoff: int = CUTOFF
    point_spread: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def is_counting(self) -> bool:
        """Whether a count is a photon."""
        return self.gain == 1 and self.offset == 0 and self.noise == 0

    @property
    def lowest(self) -> int:
        """Lowest count that means something: 0, or ten standard deviations of the noise below the offset."""
        return 0 if self.is_counting else min(0, int(np.floor(self.offset - 10 * self.noise)))


@dataclass(frozen=True, slots=True)
class Instrument:
    """Beam and detector of one sweep.

    Attributes
    ----------
    panels, header_panels : Panels
        As they are, and as the headers say.
    canvas : Canvas
        The image.
    mu, thickness : float, 1/mm and mm
        Of the sensor; mu is 0 where the beam is stopped at its surface.
    header_distance : float, mm
    header_beam_centre : (2,) float64, px
        What the headers say, at two_theta 0.
    two_theta_axis : (3,) float64
    two_theta : float, deg
    pixel_state : (ny, nx) uint8
        Bits LIVE and OPEN.
    blank : (ny, nx) int32
        An image without counts: 0, or the value that marks gaps and dead pixels.
    dead : (ny, nx) bool
        Gaps and dead pixels.
    n_dead : int
        Dead pixels without the gaps.
    hot_pixels : (h, 2) int64
        y, x.
    hot_rate : (h,) float64
        Mean counts per image.
    wavelength : float, angstrom
    is_polarised : bool
        Whether scattering depends on the polarisation of the beam: that of X-rays.
    response : Response
    """

    panels: Panels
    header_panels: Panels
    canvas: Canvas
    mu: float
    thickness: float
    header_distance: float
    header_beam_centre: np.ndarray
    two_theta_axis: np.ndarray
    two_theta: float
    pixel_state: np.ndarray
    blank: np.ndarray
    dead: np.ndarray
    n_dead: int
    hot_pixels: np.ndarray
    hot_rate: np.ndarray
    wavelength: float
    is_polarised: bool
    response: Response

    @property
    def image_size(self) -> tuple[int, int]:
        """Pixels of the image, fast and slow."""
        return self.canvas.size

    @property
    def distance(self) -> float:
        """Distance along the beam to the panel on it, or of the crystal from the panel nearest to it, mm."""
        panel, _, outside = self.panels.locate(BEAM[None])
        normal, origin = self.panels.normal(int(panel[0])), self.panels.frames[panel[0], 2]
        along = float(BEAM @ normal) if outside[0] == 0 or len(self.panels) == 1 else 1.0
        return abs(float(origin @ normal) / (along if abs(along) > 0.5 else 1.0))

    def corner_resolution(self) -> float:
        """Resolution of the pixel corner that is furthest from the beam, angstrom."""
        p = self.panels
        return min(float(self.resolution(p.laboratory(k, p.corners(k))).min()) for k in range(len(p)))

    def edge_resolution(self) -> float:
        """Resolution at the nearest edge of the panel on the beam: to here it sees every direction, angstrom.

        Where no panel is on the beam, that of the place nearest to it.
        """
        p = self.panels
        panel, place, outside = p.locate(BEAM[None])
        if outside[0] > 0:
            return max(float(self.resolution(p.laboratory(k, p.corners(k))).max()) for k in range(len(p)))
        k, (x, y), (nx, ny) = int(panel[0]), place[0], p.size[panel[0]]
        return float(self.resolution(p.laboratory(k, np.array([[0, y], [nx, y], [x, 0], [x, ny]], float))).max())

    def resolution(self, points: np.ndarray) -> np.ndarray:
        """Resolution in angstrom at laboratory points (..., 3)."""
        cosine = (points @ BEAM) / np.linalg.norm(points, axis=-1)
        sine = np.sqrt(np.maximum((1.0 - cosine) / 2.0, 1e-18))
        return np.asarray(self.wavelength / (2.0 * sine))

    def quantum_efficiency(self, s1: np.ndarray, normal: np.ndarray) -> np.ndarray:
        """Fraction of photons along rays (..., 3) that a sensor with a normal (3,) or (..., 3) stops."""
        if self.mu == 0:
            return np.ones(np.broadcast_shapes(s1.shape, normal.shape)[:-1])
        cosine = np.abs((s1 * normal).sum(axis=-1)) / np.linalg.norm(s1, axis=-1)
        return np.asarray(1.0 - np.exp(-self.mu * self.thickness / cosine))

    def polarisation(self, s1: np.ndarray, fraction: float) -> np.ndarray:
        """Part of the scattering along unit rays (..., 3) that the polarisation of the beam leaves, (...)."""
        if not self.is_polarised:
            return np.ones(s1.shape[:-1])
        out = (1 - 2 * fraction) * (1 - (s1 @ POLARISATION_NORMAL) ** 2) + fraction * (1 + (s1 @ BEAM) ** 2)
        return np.asarray(out)

    def mean_depth(self, s1: np.ndarray, normal: np.ndarray) -> np.ndarray:
        """Mean path in the sensor of the photons that it stops, mm."""
        if self.mu == 0:
            return np.zeros(np.broadcast_shapes(s1.shape, normal.shape)[:-1])
        path = self.thickness / (np.abs((s1 * normal).sum(axis=-1)) / np.linalg.norm(s1, axis=-1))
        lost = np.exp(-self.mu * path)
        return np.asarray(1.0 / self.mu - path * lost / (1.0 - lost))


def build_instruments(
    params: SimulateParams, sweeps: list[SweepSettings], rng: np.random.Generator
) -> list[Instrument]:
    """Make the detector that the parameters describe, as it stands in each sweep."""
    p = params.detector
    canvas = build_canvas(p)
    panels, header_panels = build_panels(p, canvas)
    nx = canvas.size[0]
    gaps = canvas.gaps()
    good = np.flatnonzero(~gaps)
    chosen = rng.choice(good, size=min(p.dead_pixels + p.hot_pixels, len(good)), replace=False)
    dead_pixels, hot_pixels = np.divmod(chosen[: p.dead_pixels], nx), np.divmod(chosen[p.dead_pixels :], nx)
    dead = gaps.copy()
    dead[dead_pixels] = True
    response = Response(
        p.gain, p.offset, p.read_noise, point_spread=(p.point_spread, p.point_spread_tail, p.point_spread_tail_width)
    )
    blank = np.where(gaps, GAP_VALUE, 0).astype(np.int32)
    blank[dead_pixels] = DEAD_VALUE
    if not response.is_counting:
        blank[blank < 0] = MARK
    axis = np.array(p.two_theta_axis, float)
    length = np.linalg.norm(axis)
    if length == 0:
        raise ParameterError("detector.two_theta_axis: must have a direction")
    first = Instrument(
        panels=panels,
        header_panels=header_panels,
        canvas=canvas,
        mu=0.0,
        thickness=p.thickness,
        header_distance=p.distance + p.distance_error,
        header_beam_centre=canvas.centre + np.array(p.beam_centre_error),
        two_theta_axis=axis / length,
        two_theta=0.0,
        pixel_state=np.where(dead, 0, LIVE).astype(np.uint8),
        blank=blank,
        dead=dead,
        n_dead=len(dead_pixels[0]),
        hot_pixels=np.stack(hot_pixels, axis=1).astype(np.int64),
        hot_rate=10.0 ** rng.uniform(1.5, 3.5, p.hot_pixels)[: len(hot_pixels[0])],
        wavelength=0.0,
        is_polarised=True,
        response=response,
    )
    return [_in_sweep(first, sweep, p.beamstop) for sweep in sweeps]


def _in_sweep(instrument: Instrument, sweep: SweepSettings, beamstop: float) -> Instrument:
    """The instrument with the wavelength and two_theta of a sweep."""
    panels, header_panels = instrument.panels, instrument.header_panels
    if sweep.two_theta:
        turn = rotation(instrument.two_theta_axis, np.radians(sweep.two_theta))
        panels, header_panels = panels.turned(turn), header_panels.turned(turn)
    shadow = _shadow(panels, instrument.canvas, sweep.two_theta, beamstop)
    return replace(
        instrument,
        panels=panels,
        header_panels=header_panels,
        mu=attenuation_coefficient("Si", sweep.wavelength) if sweep.probe == "x-ray" else 0.0,
        is_polarised=sweep.probe == "x-ray",
        two_theta=sweep.two_theta,
        pixel_state=(instrument.pixel_state | np.where(shadow, 0, OPEN)).astype(np.uint8),
        wavelength=sweep.wavelength,
    )


def _shadow(panels: Panels, canvas: Canvas, two_theta: float, beamstop: float) -> np.ndarray:
    """(ny, nx) bool: pixels behind the beamstop or its arm, which points away from the first row of pixels."""
    nx, ny = canvas.size
    shadow = np.zeros((ny, nx), bool)
    if beamstop <= 0:
        return shadow
    if len(panels) == 1 and not two_theta:
        y, x = np.mgrid[0:ny, 0:nx]
        across = (np.stack([x, y]) + 0.5 - canvas.centre[:, None, None]) * panels.pixel_size
        return np.asarray((np.hypot(*across) < beamstop) | ((np.abs(across[0]) < STOP_ARM) & (across[1] > 0)))
    first, *_ = panels.locate(BEAM[None])
    reach = abs(float(panels.frames[first[0], 2] @ panels.normal(int(first[0]))))
    for k in range(len(panels)):
        (x0, y0), (w, h) = panels.offset[k], panels.size[k]
        y, x = np.mgrid[0:h, 0:w]
        points = panels.laboratory(k, np.stack([x, y], axis=-1) + 0.5)
        forward = points @ BEAM
        with np.errstate(divide="ignore", invalid="ignore"):
            across = points * (reach / forward)[..., None]
        hidden = (np.hypot(across[..., 0], across[..., 1]) < beamstop) | (
            (np.abs(across[..., 0]) < STOP_ARM) & (across[..., 1] < 0)
        )
        shadow[y0 : y0 + h, x0 : x0 + w] = hidden & (forward > 0)
    return shadow
