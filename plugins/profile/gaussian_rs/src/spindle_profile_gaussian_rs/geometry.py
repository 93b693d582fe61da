"""From models and tables to the arrays of the kernels."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from spindle.errors import ModelError

from .kernels import local_frames, turned_spots

if TYPE_CHECKING:
    from spindle.models import Experiment
    from spindle.table import ReflectionTable

LEAST_DEG, LARGEST_DEG = 1e-6, 90.0  # what widths of spots may be


def growth(experiment: Experiment, s1: np.ndarray, s0: np.ndarray) -> np.ndarray:
    """How the rotational spread of a mosaic crystal widens spots along e1 and e2.

    A block turned by small angles w about three axes has its lattice point at p + w x p and diffracts when the
    goniometer has turned by dphi = -w.e1 / zeta more. Its diffracted beam is then displaced along e1 by w.(p x e1) -
    (w.e1) m2.(p x e1) / zeta, whose variance for isotropic w is g^2 (p^2 + (m2.(p x e1) / zeta)^2); |p| = 2 sin theta
    in units of 1 / wavelength. Nothing moves along e2; there p^2 stands for what else grows with the diffraction angle,
    such as the depth in the sensor and the bandwidth.

    Parameters
    ----------
    experiment : Experiment
    s1, s0 : (n, 3) float64, 1/angstrom

    Returns
    -------
    (n, 2) float64
        Factors of g^2 for the variances along e1 and e2.
    """
    return np.ascontiguousarray(_turned(experiment, s1, s0)[:, :2])


def _turned(experiment: Experiment, s1: np.ndarray, s0: np.ndarray) -> np.ndarray:
    """(n, 3) float64: `growth`, and zeta; 0 for stills."""
    axis = np.zeros(3) if experiment.is_still else experiment.known_goniometer.axis_lab
    return turned_spots(*(np.ascontiguousarray(a, dtype=np.float64) for a in (s1, s0, axis)))


class SpotGeometry:
    """Makes local frames of spots from the models of a run.

    Parameters
    ----------
    experiments : Experiments
        Each with a profile dictionary holding ``sigma_b`` and ``sigma_m`` in degrees, numbers or one per image.
    """

    def __init__(self, experiments: Iterable[Experiment]) -> None:
        self.experiments = list(experiments)

    def _numbers(self, index: int, name: str) -> np.ndarray:
        """Widths of an experiment's profile in degrees as they are in its file, once it is known that boxes can be made of them."""
        found = (self.experiments[index].profile or {}).get(name)
        pair = name in ("sigma_e1", "sigma_e2")
        may_vanish = pair or (name == "sigma_m" and self.experiments[index].is_still)
        low = 0.0 if may_vanish else LEAST_DEG
        try:
            values = np.asarray(found, dtype=np.float64)
            good = values.size > 0 and values.ndim < 2 and bool(np.all((values >= low) & (values <= LARGEST_DEG)))
            if pair:
                good = good and values.shape == (2,) and values.max() >= LEAST_DEG
            else:
                good = good and (values.ndim == 0 or self.experiments[index].scan is not None)
        except (TypeError, ValueError):
            good = False
        if not good:
            expected = "two numbers" if pair else "a number, or one per image,"
            raise ModelError(
                f"experiment {index}: the profile's {name} is {reprlib.repr(found)}: {expected} of {low:g} to {LARGEST_DEG:g} "
                "degrees expected; run the step that wrote the profile again, or leave it out of the file"
            )
        return values

    def sigma(self, index: int, name: str, z: np.ndarray) -> np.ndarray:
        """(n,) float64, radian: sigma_b or sigma_m of an experiment at array indices z."""
        value = np.radians(self._numbers(index, name))
        if value.ndim == 0:
            return np.full(len(z), float(value))
        first = self.experiments[index].known_scan.array_range[0]
        return value[np.clip(np.floor(z).astype(np.int64) - first, 0, len(value) - 1)]

    def widths(self, index: int, s1: np.ndarray, s0: np.ndarray, z: np.ndarray) -> np.ndarray:
        """(n, 2) float64, radian: standard deviations along e1 and e2.

        Where the profile has ``sigma_e1`` and ``sigma_e2`` (each two numbers s, g in degrees) the widths follow
        `growth`, sqrt(s^2 + g^2 growth), times what sigma_b of the image is of its root mean square where it changes.
        """
        sigma_b = self.sigma(index, "sigma_b", z)
        profile = self.experiments[index].profile or {}
        if "sigma_e1" not in profile:
            return np.ascontiguousarray(np.stack([sigma_b, sigma_b], axis=1))
        grown = growth(self.experiments[index], s1, s0)
        out = np.empty((len(z), 2))
        every = np.radians(self._numbers(index, "sigma_b"))
        change = sigma_b / np.sqrt(np.mean(every**2)) if every.ndim else np.ones(len(z))
        for k, name in enumerate(("sigma_e1", "sigma_e2")):
            s, g = np.radians(self._numbers(index, name))
            out[:, k] = change * np.sqrt(s * s + g * g * grown[:, k])
        return out

    def set_widths(self, index: int, widths: np.ndarray) -> None:
        """Replace s and g (radian) of e1 and e2 in the model of an experiment."""
        in_degrees = np.degrees(widths)
        profile = dict(self.experiments[index].profile or {})
        old = [np.asarray(profile[name]) for name in ("sigma_e1", "sigma_e2")]
        profile["sigma_e1"], profile["sigma_e2"] = in_degrees[0].tolist(), in_degrees[1].tolist()
        # sigma_b stays what it is: the typical width, scaled alike
        ratio = np.sqrt(np.mean([w @ w / (o @ o) for w, o in zip(in_degrees, old, strict=True)]))
        profile["sigma_b"] = (np.asarray(profile["sigma_b"], np.float64) * ratio).tolist()
        self.experiments[index] = replace(self.experiments[index], profile=profile)

    def scale_sigma_m(self, index: int, factor: float) -> None:
        """Multiply sigma_m in the model of an experiment."""
        profile = dict(self.experiments[index].profile or {})
        profile["sigma_m"] = (np.asarray(profile["sigma_m"], np.float64) * factor).tolist()
        self.experiments[index] = replace(self.experiments[index], profile=profile)

    def pixel_edges(self, frames: np.ndarray, xy: np.ndarray) -> np.ndarray:
        """(n, 2) float64: extent of a pixel along e1 and e2 in units of the widths that the frames hold."""
        v = frames[:, 6:9] * xy[:, :1] + frames[:, 9:12] * xy[:, 1:2] + frames[:, 12:15]
        length = np.linalg.norm(v, axis=1)
        out = np.empty((len(frames), 2))
        for k in range(2):
            e = frames[:, 3 * k : 3 * k + 3]
            along_fast = np.einsum("ij,ij->i", e, frames[:, 6:9]) / length
            along_slow = np.einsum("ij,ij->i", e, frames[:, 9:12]) / length
            out[:, k] = np.hypot(along_fast, along_slow)
        return out

    def zeta(self, reflections: ReflectionTable) -> np.ndarray:
        """(n,) float64: cosine between rotation axis and e1; 0 for stills."""
        out = np.zeros(len(reflections))
        for i, rows in reflections.rows_by_experiment().items():
            experiment = self.experiments[i]
            if experiment.is_still:
                continue
            s0 = self.incident(experiment, reflections["xyzcal.px"][rows, 2])
            out[rows] = _turned(experiment, reflections["s1"][rows], s0)[:, 2]
        return out

    @staticmethod
    def incident(experiment: Experiment, z: np.ndarray) -> np.ndarray:
        """(n, 3) float64, 1/angstrom: incident beams at array indices z."""
        points = experiment.beam.s0_at_scan_points
        if points is None or experiment.scan is None:
            return np.ascontiguousarray(np.broadcast_to(experiment.beam.s0, (len(z), 3)))
        at = np.clip(z - experiment.scan.array_range[0], 0, len(points) - 1)
        low = np.minimum(np.floor(at).astype(np.int64), len(points) - 2)
        share = (at - low)[:, None]
        return np.ascontiguousarray(points[low] * (1 - share) + points[low + 1] * share)

    def unit_frames(self, reflections: ReflectionTable) -> np.ndarray:
        """(n, 15) float64: local frames whose widths are 1 radian."""
        frames = np.zeros((len(reflections), 15))
        for i, rows in reflections.rows_by_experiment().items():
            experiment = self.experiments[i]
            xyz = reflections["xyzcal.px"][rows]
            g = experiment.detector.geometry
            frames[rows] = local_frames(
                np.ascontiguousarray(reflections["s1"][rows]),
                self.incident(experiment, xyz[:, 2]),
                reflections["panel"][rows].astype(np.int64),
                np.ascontiguousarray(xyz[:, :2]),
                g.d,
                g.D,
                g.pixel_size,
                np.ones((len(rows), 2)),
            )
        return frames

    def frames(self, reflections: ReflectionTable) -> tuple[np.ndarray, np.ndarray]:
        """Local frames (n, 15) and sigma_m per image (n,), signed like zeta, 0 for stills."""
        n = len(reflections)
        frames, kz = np.zeros((n, 15)), np.zeros(n)
        for i, rows in reflections.rows_by_experiment().items():
            experiment = self.experiments[i]
            s1 = np.ascontiguousarray(reflections["s1"][rows])
            xyz = reflections["xyzcal.px"][rows]
            s0 = self.incident(experiment, xyz[:, 2])
            g = experiment.detector.geometry
            frames[rows] = local_frames(
                s1,
                s0,
                reflections["panel"][rows].astype(np.int64),
                np.ascontiguousarray(xyz[:, :2]),
                g.d,
                g.D,
                g.pixel_size,
                self.widths(i, s1, s0, xyz[:, 2]),
            )
            kz[rows] = self._per_image(i, s1, s0, xyz[:, 2])
        return frames, kz

    def per_image(self, reflections: ReflectionTable) -> np.ndarray:
        """(n,) float64: sigma_m per image, signed like zeta, 0 for stills."""
        kz = np.zeros(len(reflections))
        for i, rows in reflections.rows_by_experiment().items():
            z = reflections["xyzcal.px"][rows, 2]
            kz[rows] = self._per_image(i, reflections["s1"][rows], self.incident(self.experiments[i], z), z)
        return kz

    def _per_image(self, index: int, s1: np.ndarray, s0: np.ndarray, z: np.ndarray) -> np.ndarray:
        experiment = self.experiments[index]
        if experiment.is_still:
            return np.zeros(len(z))
        zeta = _turned(experiment, s1, s0)[:, 2]
        found: np.ndarray = experiment.known_scan.oscillation[1] * zeta / self.sigma(index, "sigma_m", z)
        return found
