"""Integrated stills of known scale, B, orientation, width and partiality, with the noise of counting, for tests of their scaling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import gemmi
import numpy as np

from spindle.geometry import rotation_matrix
from spindle.models import Beam, Crystal, Detector, Experiment, Experiments, Panel
from spindle.symmetry import asu_indices
from spindle.table import Flag, ReflectionTable

__all__ = ["Stills", "simulated_stills"]

B_FACTOR = 20.0


@dataclass(slots=True)
class Stills:
    """What was measured and what is true of it.

    Attributes
    ----------
    experiments : Experiments
    table : ReflectionTable
        Partial intensities, and partialities by the orientation and width that indexing would know.
    hkl : (m, 3) int32
        Unique reflections.
    intensity : (m,) float64
    scale, b, width_deg : (n_stills,) float64
        A reflection is measured as scale exp(b / (2 d^2)) partiality intensity, with the partiality exp(-t^2 / 2), t the distance from
        the Ewald sphere over the width times 1 / d.
    rotation : (n_stills, 3, 3) float64
        From the true orientation to that of the experiment.
    partiality : (n,) float64
    """

    experiments: Experiments
    table: ReflectionTable
    hkl: np.ndarray
    intensity: np.ndarray
    scale: np.ndarray
    b: np.ndarray
    width_deg: np.ndarray
    rotation: np.ndarray
    partiality: np.ndarray

    def truth(self, hkl: np.ndarray) -> np.ndarray:
        """(n,) float64: true intensities of reflections of the asymmetric unit."""
        of = dict(zip(map(tuple, self.hkl.tolist()), self.intensity.tolist(), strict=True))
        return np.array([of[tuple(h)] for h in np.asarray(hkl).tolist()])


def simulated_stills(
    n_stills: int, group: str = "P 4 2 2", cell: Sequence[float] = (45.0, 45.0, 60.0, 90.0, 90.0, 90.0), d_min: float = 2.5, seed: int = 1,
    width_deg: float = 0.15, error_deg: float = 0.05, mean: float = 500.0, background: float = 20.0, wavelengths: Sequence[float] = (1.0,),
) -> Stills:  # fmt: skip
    """Stills of one structure in random orientations, indexed a little wrong.

    Parameters
    ----------
    n_stills : int
    group : str
        Space group of a primitive lattice, without screw axes.
    cell : 6 floats, angstrom and degrees
    d_min : float, angstrom
    seed : int
    width_deg : float
        Median angular width of the reciprocal-lattice points.
    error_deg : float
        Rms error of the orientations.
    mean, background : float
        Photons of a mean reflection at low resolution, and of the background below it.
    wavelengths : floats, angstrom
        Taken in turn.
    """
    rng = np.random.default_rng(seed)
    hkl = np.asarray(gemmi.make_miller_array(gemmi.UnitCell(*cell), gemmi.SpaceGroup("P 1"), d_min))
    hkl = np.concatenate([hkl, -hkl]).astype(np.int32)
    unique, place = np.unique(asu_indices(hkl, group)[0], axis=0, return_inverse=True)
    place = place.ravel()
    upright = Crystal.from_cell(cell, np.eye(3), group)
    fall_off = np.exp(-0.5 * B_FACTOR * np.square(unique @ upright.A.T).sum(axis=1))
    truth = mean * rng.exponential(1.0, len(unique)) * fall_off
    scale, b = np.exp(rng.normal(0, 0.5, n_stills)), rng.normal(0, 3.0, n_stills)
    widths = width_deg * np.exp(rng.normal(0, 0.2, n_stills))
    detector = Detector([Panel([1, 0, 0], [0, -1, 0], [-100.0, 100.0, -150.0], [0.2, 0.2], (1000, 1000))])
    beams = [Beam([0, 0, 1], w) for w in wavelengths]
    s = np.sqrt(np.square(hkl @ upright.A.T).sum(axis=1))
    experiments, tables, wrongs, parts = [], [], [], []
    for k in range(n_stills):
        beam = beams[k % len(beams)]
        true = _turned(rng, rng.uniform(0, np.pi)) @ _turned(rng, rng.uniform(0, np.pi))
        wrong = _turned(rng, np.radians(abs(rng.normal(0, error_deg))))
        crystal = Crystal.from_cell(cell, wrong @ true, group)
        t, seen = (
            (np.linalg.norm(beam.s0 + hkl @ A.T, axis=1) - np.linalg.norm(beam.s0)) / (np.radians(width) * s)
            for A, width in ((true @ upright.A, widths[k]), (crystal.A, 1.2 * width_deg))
        )
        rows = np.flatnonzero(np.abs(seen) < 2.5)
        n, part = len(rows), np.exp(-0.5 * t[rows] ** 2)
        expected = scale[k] * np.exp(0.5 * b[k] * s[rows] ** 2) * part * truth[place[rows]]
        counts = rng.poisson(expected + background)
        tables.append(
            ReflectionTable({
                "miller_index": hkl[rows], "id": np.full(n, k), "d": 1 / s[rows], "partiality": np.exp(-0.5 * seen[rows] ** 2),
                "flags": np.full(n, int(Flag.INTEGRATED_SUM)), "intensity.sum.value": counts - background,
                "intensity.sum.variance": np.maximum(counts, 1) + 0.2 * background, "lp": np.ones(n), "qe": np.ones(n),
            })
        )  # fmt: skip
        experiments.append(Experiment(beam, detector, crystal=crystal, identifier=f"still-{k}"))
        wrongs.append(wrong)
        parts.append(part)
    table = ReflectionTable.concatenate(tables)
    table.identifiers = {k: f"still-{k}" for k in range(n_stills)}
    return Stills(
        Experiments(experiments), table, unique, truth, scale, b, widths, np.array(wrongs), np.concatenate(parts)
    )


def _turned(rng: np.random.Generator, angle: float) -> np.ndarray:
    axis = rng.normal(size=3)
    return rotation_matrix(axis / np.linalg.norm(axis), angle)
