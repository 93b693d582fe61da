"""Which reflections diffract during a sweep, where, when and with how many photons."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from .instrument import Instrument
from .settings import BEAM
from .structure import Structure
from .supports import Supports

__all__ = ["FrameSeries", "Reflections", "path_through_crystal", "predict_reflections"]

# Reflections closer to the rotation axis than this cosine smear over tens of degrees and are left out.
MIN_ZETA = 0.01
# Photons further out than this many standard deviations are not traced.
N_SIGMA = 6.0
# Spots centred this far outside the detector may still reach into it.
MARGIN_PX = 40.0


@dataclass(frozen=True, slots=True)
class FrameSeries:
    """What changes from image to image of a sweep of n images.

    Attributes
    ----------
    axis : (3,) float64
        Rotation axis in the laboratory, about which the angle grows: where a sweep turns backwards, the opposite of
        the axis of the goniometer.
    start, width : float, rad
        Angle at the start of the sweep and rotation per image, which is positive.
    scale : (n,) float64
        Intensity of the beam.
    b_factor : (n,) float64, angstrom^2
        Added B factor.
    drift : (n, 3) float64, rad
        Small rotation vector of the crystal in its own frame at the middle of each image.
    expansion : (n,) float64
        Relative growth of the cell edges.
    shift : (n, 2) float64, px
        Movement of the whole pattern on the detector, along fast and slow.
    """

    axis: np.ndarray
    start: float
    width: float
    scale: np.ndarray
    b_factor: np.ndarray
    drift: np.ndarray
    expansion: np.ndarray
    shift: np.ndarray

    def __len__(self) -> int:
        return len(self.scale)

    def shift_at(self, z: np.ndarray) -> np.ndarray:
        """(n, 2) px: movement of the pattern at rotations z (n,) in images."""
        centres = np.arange(len(self)) + 0.5
        return np.stack([np.interp(z, centres, self.shift[:, k]) for k in range(2)], axis=1)


@dataclass(frozen=True, slots=True)
class Reflections:
    """n events: an index may appear several times.

    Attributes
    ----------
    hkl : (n, 3) int32
    q : (n, 3) float64, 1/angstrom
        Reciprocal vector at rotation angle 0, drift and expansion at the event included.
    phi : (n,) float64, rad
    z : (n,) float64, images
        Rotation in image units, 0 at the start of the sweep.
    panel : (n,) int64
        The panel that the ray meets or comes nearest to.
    xy : (n, 2) float64, px
        Where the ray meets the front of the sensor, in pixels of that panel, movement of the pattern included.
    s1 : (n, 3) float64
        Unit vector of the diffracted ray.
    entering : (n,) bool
    zeta, d : (n,) float64
    lorentz, polarisation, efficiency, absorption : (n,) float64
    support : (n,) float64
        Share of the photons along the ray that tape and anvils let through.
    depth : (n,) float64, mm
        Mean path in the sensor of the photons that it stops.
    intensity : (n,) float64
        |F|^2 on the scale of photons.
    photons : (n,) float64
        Expected photons at beam scale 1 and added B 0: the product of intensity and all factors but that of a tape, which
        stops photons one by one.
    window : (n,) float64, images
        Half width of the range of rotation within which photons are traced.
    """

    hkl: np.ndarray
    q: np.ndarray
    phi: np.ndarray
    z: np.ndarray
    panel: np.ndarray
    xy: np.ndarray
    s1: np.ndarray
    entering: np.ndarray
    zeta: np.ndarray
    d: np.ndarray
    lorentz: np.ndarray
    polarisation: np.ndarray
    efficiency: np.ndarray
    absorption: np.ndarray
    support: np.ndarray
    depth: np.ndarray
    intensity: np.ndarray
    photons: np.ndarray
    window: np.ndarray

    def __len__(self) -> int:
        return len(self.hkl)

    def scaled(self, factor: float) -> Reflections:
        """The same reflections with all intensities multiplied."""
        return replace(self, intensity=self.intensity * factor, photons=self.photons * factor)


def rotate(vectors: np.ndarray, axis: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Rotate vectors (n, 3) about an axis by angles (n,) rad."""
    cosine, sine = np.cos(angles)[:, None], np.sin(angles)[:, None]
    along = (vectors @ axis)[:, None] * axis
    return along * (1 - cosine) + vectors * cosine - _cross(vectors, axis) * sine


def diffraction_angles(q: np.ndarray, axis: np.ndarray, wavelength: float) -> tuple[np.ndarray, np.ndarray]:
    """Middle angle and half distance of the two angles at which each q diffracts, rad; nan where it never does.

    |s0 + R(phi) q| = |s0| is A cos phi + B sin phi + C = 0; the point enters the sphere at middle + half, leaves at
    middle - half.
    """
    s0 = BEAM / wavelength
    along = q @ axis
    cos_part = q @ s0 - along * (axis @ s0)
    sin_part = q @ np.cross(s0, axis)
    constant = along * (axis @ s0) + 0.5 * (q * q).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        half = np.arccos(-constant / np.hypot(cos_part, sin_part))
    return np.arctan2(sin_part, cos_part), half


def predict_reflections(
    structure: Structure,
    setting: np.ndarray,
    mounting: np.ndarray,
    fraction: float,
    frames: FrameSeries,
    instrument: Instrument,
    polarisation_fraction: float,
    sigma_m: float,
    crystal_axes: np.ndarray,
    crystal_mu: float,
    supports: Supports,
) -> Reflections:
    """All events of one lattice that put photons on the detector during a sweep.

    Parameters
    ----------
    structure : Structure
    setting : (3, 3) float64, 1/angstrom
        Matrix A with all axes at zero.
    mounting : (3, 3) float64
        What the axes that stand still do to the crystal: mounting A hkl = q at rotation angle 0.
    fraction : float
        Volume of this lattice relative to the first.
    frames : FrameSeries
    instrument : Instrument
    polarisation_fraction : float
    sigma_m : float, rad
        Standard deviation along e3 of the spots.
    crystal_axes : (3,) float64, mm
        Half axes of the ellipsoidal crystal.
    crystal_mu : float, 1/mm
    supports : Supports
    """
    wavelength = instrument.wavelength
    q0 = structure.hkl @ (mounting @ setting).T
    middle, half = diffraction_angles(q0, frames.axis, wavelength)
    full_turn = 2 * np.pi
    length = len(frames) * frames.width
    hkl_rows, angles, entering = [], [], []
    for enters_first in (True, False):
        angle = middle + half if enters_first else middle - half
        # every turn whose angle may matter; the exact test follows
        margin = 1.0
        first = angle + full_turn * np.ceil((frames.start - margin - angle) / full_turn)
        for turn in range(int((length + 2 * margin) // full_turn) + 1):
            phi = first + turn * full_turn
            rows = np.flatnonzero(np.isfinite(phi) & (phi <= frames.start + length + margin))
            hkl_rows.append(rows)
            angles.append(phi[rows])
            entering.append(np.full(len(rows), enters_first))
    rows, phi, enters = np.concatenate(hkl_rows), np.concatenate(angles), np.concatenate(entering)
    # drift and expansion move spots by little: look at the candidates only
    near = _geometry(q0[rows], phi, frames, instrument, sigma_m, slack=2.0).seen
    near &= structure.intensity[rows] > 0
    rows, phi, enters = rows[near], phi[near], enters[near]
    q, phi = _follow_changes(q0[rows], phi, enters, frames, wavelength)
    keep = _geometry(q, phi, frames, instrument, sigma_m, slack=0.0).seen
    rows, phi, enters, q = rows[keep], phi[keep], enters[keep], q[keep]
    s1, z, panel, xy, zeta, window, _ = _geometry(q, phi, frames, instrument, sigma_m, slack=0.0)
    lorentz = 1.0 / np.abs(s1 @ np.cross(frames.axis, BEAM))
    polarisation = instrument.polarisation(s1, polarisation_fraction)
    normals = np.stack([instrument.panels.normal(k) for k in range(len(instrument.panels))])[panel]
    efficiency = instrument.quantum_efficiency(s1, normals)
    to_source, outgoing = (
        rotate(np.broadcast_to(v, s1.shape), frames.axis, -phi) @ mounting for v in (-BEAM, s1)
    )  # in the frame of the crystal
    paths = path_through_crystal(to_source, outgoing, crystal_axes)
    absorption = np.exp(-crystal_mu * paths).mean(axis=1)
    through = np.ones(len(s1))
    if supports.anvils is not None:
        start = np.broadcast_to(mounting @ supports.anvils.normal, s1.shape)
        through = supports.anvils.transmission(s1, rotate(start, frames.axis, phi))
    tape = 1.0 if supports.tape is None else supports.tape.transmission(s1)
    intensity = structure.intensity[rows]
    return Reflections(
        hkl=structure.hkl[rows],
        q=q,
        phi=phi,
        z=z,
        panel=panel,
        xy=xy,
        s1=s1,
        entering=enters,
        zeta=zeta,
        d=1.0 / np.linalg.norm(q, axis=1),
        lorentz=lorentz,
        polarisation=polarisation,
        efficiency=efficiency,
        absorption=absorption,
        support=through * tape,
        depth=instrument.mean_depth(s1, normals),
        intensity=intensity,
        photons=intensity * lorentz * polarisation * efficiency * absorption * through * fraction,
        window=window,
    )


class _Geometry(NamedTuple):
    """s1 (n, 3), z, panel (n,), xy (n, 2), zeta, window (n,), and which rows may put photons on the detector."""

    s1: np.ndarray
    z: np.ndarray
    panel: np.ndarray
    xy: np.ndarray
    zeta: np.ndarray
    window: np.ndarray
    seen: np.ndarray


def _geometry(
    q: np.ndarray, phi: np.ndarray, frames: FrameSeries, instrument: Instrument, sigma_m: float, slack: float
) -> _Geometry:
    """Rays and places of reflections q (n, 3) at angles phi (n,); ``slack`` in images and pixels."""
    s1 = BEAM + instrument.wavelength * rotate(q, frames.axis, phi)
    s1 /= np.linalg.norm(s1, axis=1)[:, None]
    z = (phi - frames.start) / frames.width
    panel, xy, outside = instrument.panels.locate(s1)
    xy = xy + frames.shift_at(z)
    e1 = _cross(s1, BEAM)
    zeta = e1 @ frames.axis / np.maximum(np.linalg.norm(e1, axis=1), 1e-12)
    window = N_SIGMA * sigma_m / (np.maximum(np.abs(zeta), MIN_ZETA) * frames.width) + 1.0
    with np.errstate(invalid="ignore"):
        seen = (np.abs(zeta) > MIN_ZETA) & np.isfinite(phi)
        seen &= (z > -window - slack) & (z < len(frames) + window + slack)
        seen &= outside < MARGIN_PX + slack
    return _Geometry(s1, z, panel, xy, zeta, window, seen)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cross product of a (n, 3) and b (3,); `numpy.cross` is three times slower."""
    return np.stack(
        [a[:, 1] * b[2] - a[:, 2] * b[1], a[:, 2] * b[0] - a[:, 0] * b[2], a[:, 0] * b[1] - a[:, 1] * b[0]], axis=1
    )


def _follow_changes(
    q: np.ndarray, phi: np.ndarray, entering: np.ndarray, frames: FrameSeries, wavelength: float
) -> tuple[np.ndarray, np.ndarray]:
    """Apply drift and expansion at the moment of diffraction, and find that moment; returns q (n, 3) and phi (n,)."""
    centres = np.arange(len(frames)) + 0.5
    changed = q
    for _ in range(3):
        z = (phi - frames.start) / frames.width
        turn = np.stack([np.interp(z, centres, frames.drift[:, k]) for k in range(3)], axis=1)
        growth = np.interp(z, centres, frames.expansion)
        changed = (q + np.cross(turn, q)) / (1.0 + growth)[:, None]
        middle, half = diffraction_angles(changed, frames.axis, wavelength)
        new = np.where(entering, middle + half, middle - half)
        phi = new + 2 * np.pi * np.round((phi - new) / (2 * np.pi))
    return changed, phi


def path_through_crystal(towards_source: np.ndarray, outgoing: np.ndarray, half_axes: np.ndarray) -> np.ndarray:
    """Paths through an ellipsoid from points in it to the source and out along the diffracted ray, summed.

    Parameters
    ----------
    towards_source, outgoing : (n, 3) float64
        Unit vectors in the frame of the crystal.
    half_axes : (3,) float64, mm

    Returns
    -------
    (n, 24) float64, mm
        For 24 points spread evenly through the ellipsoid.
    """
    k = np.arange(24)
    radius = ((k + 0.5) / 24) ** (1 / 3)
    height = 1 - 2 * ((k * 0.618034) % 1.0)
    turn = 2 * np.pi * ((k * 0.754878) % 1.0)
    ring = np.sqrt(1 - height**2)
    points = radius[:, None] * np.stack(
        [ring * np.cos(turn), ring * np.sin(turn), height], axis=1
    )  # in the unit sphere
    total = np.zeros((len(outgoing), len(points)))
    for direction in (towards_source, outgoing):
        scaled = direction / half_axes
        a = np.sum(scaled**2, axis=1)[:, None]
        b = scaled @ points.T
        c = np.sum(points**2, axis=1) - 1.0
        total += (-b + np.sqrt(b * b - a * c)) / a
    return total
