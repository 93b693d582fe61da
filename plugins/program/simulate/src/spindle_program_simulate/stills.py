"""Stills: every image is of crystals of its own, each at rest in a random orientation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spindle.errors import ParameterError
from spindle.params import walk

from .instrument import Instrument
from .params import SimulateParams
from .reflections import MARGIN_PX, Reflections, path_through_crystal
from .settings import BEAM
from .structure import Structure
from .supports import Supports

__all__ = ["StillEvents", "check_stills", "predict_stills", "random_rotations", "volumes_of_stills"]

# Points further from the Ewald sphere than this many standard deviations of their rocking curve are left out.
N_SIGMA = 5.0
# What describes how a crystal changes while it turns.
OF_SWEEPS = ("crystal.drift", "crystal.expansion", "crystal.decay", "crystal.one_per_sweep")


@dataclass(frozen=True, slots=True)
class StillEvents:
    """What is known of n reflections of stills beyond what those of a sweep have.

    Attributes
    ----------
    image : (n,) int64
        From 0.
    turn : (n,) float64, rad
        Angle about e1 = s1 x s0 by which the mean block would have to be turned to diffract, with the sign of the column ``delpsical.rad``.
    rocking : (n,) float64, rad
        Standard deviation of the turns at which rays and blocks diffract.
    partiality : (n,) float64
        Expected photons relative to those of the same reflection of a crystal whose mean block is exactly on the sphere and whose
        blocks alone widen its rocking curve.
    volume : (n_images,) float64
        Of the crystal of each image relative to the usual; 0 where there is none.
    """

    image: np.ndarray
    turn: np.ndarray
    rocking: np.ndarray
    partiality: np.ndarray
    volume: np.ndarray


def check_stills(params: SimulateParams) -> None:
    """Refuse what stills cannot have.

    Raises
    ------
    ParameterError
    """
    if not params.crystal.mosaic_spread > 0:
        raise ParameterError(
            "crystal.mosaic_spread=0: a perfect crystal at rest shows nothing but what the beam's bandpass happens to meet; give "
            "stills some mosaic_spread, e.g. 0.05"
        )
    changed = {entry.path for entry in walk(params) if entry.is_modified}
    for name in OF_SWEEPS:
        if name in changed:
            raise ParameterError(
                f"{name} describes a crystal that is turned; the crystal of a still is seen once. Leave it out"
            )


def random_rotations(n: int, rng: np.random.Generator) -> np.ndarray:
    """(n, 3, 3) rotation matrices, uniformly distributed."""
    quaternion = rng.standard_normal((n, 4))
    w, x, y, z = (quaternion / np.linalg.norm(quaternion, axis=1)[:, None]).T
    return np.stack(
        [
            np.stack([1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)], axis=-1),
            np.stack([2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)], axis=-1),
            np.stack([2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)], axis=-1),
        ],
        axis=1,
    )


def volumes_of_stills(params: SimulateParams, n: int, rng: np.random.Generator) -> np.ndarray:
    """(n,) volumes of the crystals of stills, 0 where the beam misses."""
    spread = params.scan.volume_spread
    volume = np.exp(spread * rng.standard_normal(n) - 0.5 * spread**2)
    return np.where(rng.random(n) < params.scan.hits, volume, 0.0)


def predict_stills(
    structure: Structure,
    settings: np.ndarray,
    volume: np.ndarray,
    instrument: Instrument,
    polarisation_fraction: float,
    sigma_mosaic: float,
    sigma_divergence: float,
    bandpass: float,
    crystal_axes: np.ndarray,
    crystal_mu: float,
    supports: Supports,
    shift: np.ndarray,
) -> tuple[Reflections, StillEvents]:
    """All reflections of one crystal on each of N stills.

    Parameters
    ----------
    structure : Structure
    settings : (N, 3, 3) float64, 1/angstrom
        Matrix A of the crystal of each image, in the laboratory.
    volume : (N,) float64
        Relative volume of each; 0 for none.
    instrument : Instrument
    polarisation_fraction : float
    sigma_mosaic, sigma_divergence : float, rad
    bandpass : float
        Relative standard deviation of the wavelength.
    crystal_axes : (3,) float64, mm
    crystal_mu : float, 1/mm
    supports : Supports
    shift : (N, 2) float64, px
        Movement of the pattern of each image.

    Notes
    -----
    A block turned by small angles about any axis stays at its distance from the origin; of the turns the one about e1 takes it through
    the sphere, so that a still shows the density of blocks at one value of that turn: photons go with 1 / sin(2 theta), the speed at
    which the point passes through the sphere (the Lorentz factor of a rotation about e1), times that density. The zero of the scale of
    intensities is the density at its maximum.
    """
    wavelength = instrument.wavelength
    s0 = BEAM / wavelength
    strong = structure.intensity > 0
    hkl, intensity = structure.hkl[strong], structure.intensity[strong]
    parts = []
    for image, A in enumerate(settings):
        if volume[image] <= 0:
            continue
        q = hkl @ A.T
        turn, s1, sine2 = _turns(q, s0)
        tangent = sine2 / (1 + np.sqrt(np.maximum(1 - sine2**2, 0)))  # tan theta
        rocking = np.sqrt(sigma_mosaic**2 + sigma_divergence**2 + (tangent * bandpass) ** 2)
        near = np.flatnonzero(np.abs(turn) < N_SIGMA * rocking)
        panel, xy, outside = instrument.panels.locate(s1[near])
        seen = outside < MARGIN_PX
        near = near[seen]
        where = np.full(len(near), image, np.int64)
        parts.append((near, where, turn[near], rocking[near], s1[near], q[near], panel[seen], xy[seen]))
    if not parts:
        none, three = np.zeros(0, np.int64), np.zeros((0, 3))
        parts = [(none, none, np.zeros(0), np.zeros(0), three, three, none, np.zeros((0, 2)))]
    row, images, turn, rocking, s1, q, panel, xy = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    n = len(row)
    normals = np.stack([instrument.panels.normal(k) for k in range(len(instrument.panels))])[panel]
    polarisation = instrument.polarisation(s1, polarisation_fraction)
    efficiency = instrument.quantum_efficiency(s1, normals)
    paths = path_through_crystal(np.broadcast_to(-BEAM, s1.shape), s1, crystal_axes)
    absorption = np.exp(-crystal_mu * paths).mean(axis=1)
    through = np.ones(n)
    if supports.anvils is not None:
        through = supports.anvils.transmission(s1, np.broadcast_to(supports.anvils.normal, s1.shape))
    tape = 1.0 if supports.tape is None else supports.tape.transmission(s1)
    lorentz = 1.0 / np.linalg.norm(np.cross(s1, BEAM), axis=1)
    partiality = sigma_mosaic / rocking * np.exp(-0.5 * (turn / rocking) ** 2)
    reflections = Reflections(
        hkl=hkl[row],
        q=q,
        phi=np.zeros(n),
        z=images + 0.5,
        panel=panel,
        xy=xy + shift[images],
        s1=s1,
        entering=np.zeros(n, np.bool_),
        zeta=np.ones(n),
        d=1.0 / np.linalg.norm(q, axis=1),
        lorentz=lorentz,
        polarisation=polarisation,
        efficiency=efficiency,
        absorption=absorption,
        support=through * tape,
        depth=instrument.mean_depth(s1, normals),
        intensity=intensity[row],
        photons=intensity[row] * lorentz * polarisation * efficiency * absorption * through * volume[images],
        window=np.full(n, 0.4),
    )
    return reflections, StillEvents(images, turn, rocking, partiality, volume)


def _turns(q: np.ndarray, s0: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Turn about e1 that takes each q (n, 3) to the sphere (rad; infinite where none does), unit ray then, and sin(2 theta)."""
    k = float(np.linalg.norm(s0))
    beam = s0 / k
    length = np.linalg.norm(q, axis=1)
    along = q @ beam
    across = q - along[:, None] * beam
    wide = np.linalg.norm(across, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        sine = length / (2 * k)
        good = (sine < 1) & (wide > 1e-9 * length)
        # on the sphere q leans back by theta from the plane across the beam
        now, then = np.arctan2(along, wide), -np.arcsin(np.where(good, sine, 0.0))
        direction = across / wide[:, None]
        s1 = beam + (length / k)[:, None] * (np.cos(then)[:, None] * direction + np.sin(then)[:, None] * beam)
    s1 = np.where(good[:, None], s1, beam)
    turn = np.where(good, then - now, np.inf)
    return turn, s1, np.where(good, np.sin(-2 * then), 0.0)
