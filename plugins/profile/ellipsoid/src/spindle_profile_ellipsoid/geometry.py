"""Lattice points near the Ewald sphere: their frames, their spread in them, and what of it a detector sees.

The frame of a point r has the rows s2 x s0, s2 x (s2 x s0), s2 = s0 + r, normalised: the first two are tangents of the Ewald sphere, the
third is normal to it. Coordinates are in 1/angstrom from the point where s2 meets the sphere.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np

from .mosaicity import Mosaicity, Widths

if TYPE_CHECKING:
    from spindle.models import Experiment
    from spindle.table import ReflectionTable

__all__ = ["Model", "Points", "Seen", "pixel_steps", "points_of", "rays_of_pixels", "seen", "spread", "spread_slopes"]


LEAST_SINE = 0.02


@dataclass(frozen=True)
class Points:
    """n lattice points where they are predicted.

    Attributes
    ----------
    r, s0 : (n, 3) float64, 1/angstrom
        In the laboratory.
    frame : (n, 3, 3) float64
        Rows of the frame of each.
    crystal : (n, 3, 3) float64
        The frame in terms of the axes that turn with the crystal.
    own : (n, 3, 3) float64
        The frame in terms of the rows of Q, see `mosaicity`.
    distance : (n,) float64, 1/angstrom
        |s0| - |s2|: from the point to the sphere.
    velocity : (n, 3) float64, 1/angstrom per radian
        Movement of the point while the crystal turns, in its frame; 0 for stills.
    """

    r: np.ndarray
    s0: np.ndarray
    frame: np.ndarray
    crystal: np.ndarray
    own: np.ndarray
    distance: np.ndarray
    velocity: np.ndarray

    def __len__(self) -> int:
        return len(self.r)

    def select(self, rows: np.ndarray) -> Points:
        """Some of them."""
        return Points(*(getattr(self, field.name)[rows] for field in fields(self)))

    @property
    def turning(self) -> np.ndarray:
        """(n,) bool: not of stills."""
        return np.asarray(self.velocity[:, 2] != 0.0)

    @property
    def wave_number(self) -> np.ndarray:
        """(n,) float64, 1/angstrom."""
        return np.asarray(np.linalg.norm(self.s0, axis=1))

    @property
    def turn(self) -> np.ndarray:
        """(n,) float64, 1/angstrom: the arc on the sphere of the angle through which a point has to be turned to meet it."""
        s2 = self.s0 + self.r
        k = self.wave_number
        sine = np.linalg.norm(np.cross(s2, self.s0), axis=1) / (k * np.maximum(np.linalg.norm(s2, axis=1), 1e-300))
        return np.asarray(self.distance / np.maximum(sine, LEAST_SINE))


def _unit(v: np.ndarray) -> np.ndarray:
    return np.asarray(v / np.maximum(np.linalg.norm(v, axis=1), 1e-300)[:, None])


def _rotations(axis: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """(n, 3, 3) rotations about one axis."""
    x, y, z = axis
    k = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.asarray(np.eye(3) + np.sin(angles)[:, None, None] * k + (1.0 - np.cos(angles))[:, None, None] * (k @ k))


def points_of(experiment: Experiment, reflections: ReflectionTable) -> Points:
    """The points of the reflections of one experiment.

    Parameters
    ----------
    experiment : Experiment
        With a crystal.
    reflections : ReflectionTable
        n rows with ``s1`` and ``xyzcal.px``; of stills with ``miller_index``, or it is the nearest to ``s1``.
    """
    n, fixed_s0 = len(reflections), np.asarray(experiment.beam.s0)
    s0 = np.broadcast_to(fixed_s0, (n, 3)).copy()
    velocity = np.zeros((n, 3))
    turned = np.broadcast_to(np.eye(3), (n, 3, 3))
    if experiment.is_still:
        A = experiment.known_crystal.A
        # what is seen is near the point, far from others
        near = (reflections["s1"] - s0) @ np.linalg.inv(A).T if "miller_index" not in reflections else None
        r = (reflections["miller_index"] if near is None else np.rint(near)) @ A.T
    else:
        scan, axis = experiment.known_scan, experiment.known_goniometer.axis_lab
        z = np.asarray(reflections["xyzcal.px"][:, 2], np.float64)
        along = experiment.beam.s0_at_scan_points
        if along is not None:
            at = np.clip(z - scan.array_range[0], 0, len(along) - 1)
            low = np.minimum(np.floor(at).astype(np.int64), len(along) - 2)
            s0 = along[low] + (at - low)[:, None] * (along[low + 1] - along[low])
        r = reflections["s1"] - s0
        velocity = np.cross(axis, r)
        turned = _rotations(axis, np.asarray(scan.angle_from_array_index(z)))
    s2 = s0 + r
    e1 = _unit(np.cross(s2, s0))
    frame = np.stack([e1, _unit(np.cross(s2, e1)), _unit(s2)], axis=1)
    q1 = _unit(np.cross(r, s0))
    q = np.stack([q1, _unit(np.cross(r, q1)), _unit(r)], axis=1)
    crystal = frame @ turned
    distance = np.zeros(n)
    if experiment.is_still:
        distance = np.linalg.norm(s0, axis=1) - np.linalg.norm(s2, axis=1)
    velocity = np.einsum("nij,nj->ni", frame, velocity)
    return Points(r, s0, frame, crystal, frame @ q.transpose(0, 2, 1), distance, velocity)


def spread(points: Points, widths: Widths) -> np.ndarray:
    """(n, 3, 3) float64, 1/angstrom^2: covariance of each point in its frame."""
    square = np.einsum("ni,ni->n", points.r, points.r)[:, None, None]
    of_crystal = points.crystal @ widths.fixed @ points.crystal.transpose(0, 2, 1)
    of_direction = points.own @ (widths.turning * square + widths.shaped) @ points.own.transpose(0, 2, 1)
    return np.asarray(of_crystal + of_direction)


def spread_slopes(points: Points, widths: Widths) -> np.ndarray:
    """(p, n, 3, 3) float64: derivatives of `spread` by the parameters."""
    square = np.einsum("ni,ni->n", points.r, points.r)[:, None, None]
    back, own_back = points.crystal.transpose(0, 2, 1), points.own.transpose(0, 2, 1)
    out = []
    for fixed, turning, shaped in zip(widths.d_fixed, widths.d_turning, widths.d_shaped, strict=True):
        slope = np.zeros((len(points), 3, 3))
        if fixed.any():
            slope += points.crystal @ fixed @ back
        if turning.any() or shaped.any():
            slope += points.own @ (turning * square + shaped) @ own_back
        out.append(slope)
    return np.array(out)


@dataclass(frozen=True)
class Seen:
    """What the sphere and the rotation leave of the spread of n points.

    Attributes
    ----------
    mean : (n, 2) float64, 1/angstrom
    covariance : (n, 2, 2) float64, 1/angstrom^2
        Of a still on the sphere; of a crystal that turns, through the sphere, all images together.
    normal : (n,) float64, 1/angstrom^2
        Variance across the sphere.
    drift : (n, 2) float64
        How far the spot moves while the sphere moves a unit across the point.
    momentary : (n, 2, 2) float64, 1/angstrom^2
        Covariance on the sphere at one time.
    """

    mean: np.ndarray
    covariance: np.ndarray
    normal: np.ndarray
    drift: np.ndarray
    momentary: np.ndarray


def seen(points: Points, s: np.ndarray) -> Seen:
    """Means and covariances on the detector for the spread (n, 3, 3) of points."""
    normal = s[:, 2, 2]
    lean = s[:, :2, 2] / normal[:, None]
    momentary = s[:, :2, :2] - lean[:, :, None] * s[:, None, 2, :2]
    mean = lean * points.distance[:, None]
    covariance, drift = momentary, np.zeros_like(mean)
    turning = points.turning
    if turning.any():
        slope = np.zeros_like(mean)
        slope[turning] = points.velocity[turning, :2] / points.velocity[turning, 2:]
        # of all that crosses the sphere at some time
        drift = np.where(turning[:, None], lean - slope, 0.0)
        swept = momentary + drift[:, :, None] * drift[:, None, :] * normal[:, None, None]
        covariance = np.where(turning[:, None, None], swept, momentary)
    return Seen(mean, covariance, normal, drift, momentary)


def rays_of_pixels(experiment: Experiment, points: Points, reflections: ReflectionTable) -> np.ndarray:
    """(n, 15) float64: what takes a pixel (x, y) to the coordinates of a point's frame.

    Of each row the first six numbers are two vectors E (1/angstrom), the others f, s and o (mm): with v = f x + s y + o the coordinates are
    E v / |v|. The predicted pixel is taken to the predicted beam exactly, whatever the detector does with the depth of its sensor.
    """
    geometry = experiment.detector.geometry
    panel = reflections["panel"].astype(np.int64)
    d, size = geometry.d[panel], geometry.pixel_size[panel]
    on_panel = np.einsum("nij,nj->ni", geometry.D[panel], reflections["s1"])
    beside = on_panel[:, :2] / on_panel[:, 2:] - reflections["xyzcal.px"][:, :2] * size
    out = np.empty((len(panel), 15))
    out[:, :6] = (points.frame[:, :2] * points.wave_number[:, None, None]).reshape(-1, 6)
    out[:, 6:9] = d[:, :, 0] * size[:, :1]
    out[:, 9:12] = d[:, :, 1] * size[:, 1:]
    out[:, 12:15] = d[:, :, 2] + d[:, :, 0] * beside[:, :1] + d[:, :, 1] * beside[:, 1:]
    return out


def pixel_steps(rays: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """(n, 2, 2) float64, 1/angstrom per pixel: derivatives of the coordinates by x and y at the positions xy (n, 2)."""
    v = rays[:, 6:9] * xy[:, :1] + rays[:, 9:12] * xy[:, 1:] + rays[:, 12:15]
    length = np.linalg.norm(v, axis=1)
    e = rays[:, :6].reshape(-1, 2, 3)
    along = np.stack([rays[:, 6:9], rays[:, 9:12]], axis=2)  # (n, 3, 2)
    ray = v / length[:, None]
    along = along - ray[:, :, None] * np.einsum("ni,nij->nj", ray, along)[:, None, :]
    return np.asarray(e @ along / length[:, None, None])


@dataclass(frozen=True)
class Model:
    """The model of an experiment, read from its dictionary.

    Attributes
    ----------
    mosaicity : Mosaicity
    parameters : (p,) float64
    blur : float, 1/angstrom
        Width that detector, beam and the size of the crystal add to spots.
    beam_share : float
        Of stills: how much of the angle between a point and the sphere is made up for by rays that come from another direction. Their spots
        lie where those rays go on to, farther from the beam or nearer to it than if blocks were turned.
    """

    mosaicity: Mosaicity
    parameters: np.ndarray
    blur: float = 0.0
    beam_share: float = 0.0

    @property
    def widths(self) -> Widths:
        """Its covariances."""
        return self.mosaicity.widths(self.parameters)

    def seen(self, points: Points) -> Seen:
        """What is seen of points, with the blur."""
        found = seen(points, spread(points, self.widths))
        extra = self.blur**2 * np.eye(2)
        mean = found.mean
        if self.beam_share:
            mean = mean + np.column_stack([np.zeros(len(points)), self.beam_share * points.turn])
        return replace(found, mean=mean, covariance=found.covariance + extra, momentary=found.momentary + extra)
