"""Pseudo-translations and missed centrings: peaks of the Patterson function far from its origin.

Zwart, Grosse-Kunstleve & Adams (2005), CCP4 Newsletter 43 (significance of the height of the largest peak).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

import gemmi
import numpy as np
import numpy.typing as npt

from spindle.symmetry import SpaceGroupLike, centring_vectors, patterson_group, space_group

from .intensities import Normalised

#: Range of resolution of the terms, and the least number of unique ones.
RANGE, FEWEST_TERMS = (10.0, 5.0), 100
#: Peaks nearer to the origin than this are shapes of molecules, angstrom.
NEAREST = 15.0
#: Where a vector of the crystal is expected by chance less than this often it is told of, with a peak of this height at least.
SIGNIFICANCE, HEIGHT = 0.01, 0.2
#: A peak as high as this is a lattice vector: centring was missed, or the cell is too large.
LATTICE_HEIGHT = 0.75


@dataclass(frozen=True, slots=True)
class Translation:
    """The largest peak of the Patterson function far from the origin.

    Attributes
    ----------
    vector : (3,) tuple of float
        Fractions of the cell edges.
    height : float
        Relative to the origin peak.
    distance : float, angstrom
    p_value : float
        Of a peak as high in a structure without such a vector.
    nearest : str
        Simple fractions within 0.02 of the vector; empty where there are none.
    """

    vector: tuple[float, float, float]
    height: float
    distance: float
    p_value: float
    nearest: str

    @property
    def is_lattice_vector(self) -> bool:
        """Whether all atoms repeat by it."""
        return self.height > LATTICE_HEIGHT

    @property
    def is_significant(self) -> bool:
        """Whether it is to be told of."""
        return self.is_lattice_vector or (self.p_value < SIGNIFICANCE and self.height > HEIGHT)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "vector": list(self.vector)}


def largest_translation(data: Normalised, cell: npt.ArrayLike, group: SpaceGroupLike) -> Translation | None:
    """Look for the largest peak of the Patterson function; None with too few terms or too small a cell."""
    unit_cell = gemmi.UnitCell(*np.asarray(cell, dtype=float))
    if not len(data) or max(unit_cell.parameters[:3]) < NEAREST:
        return None
    d = unit_cell.calculate_d_array(data.hkl)
    rows = np.flatnonzero((d <= RANGE[0]) & (d >= RANGE[1]))
    if len(rows) < FEWEST_TERMS:
        return None
    group = space_group(group)
    table = gemmi.Mtz(with_base=True)
    table.spacegroup, table.cell = patterson_group(group), unit_cell
    table.add_dataset("patterson")
    table.add_column("F", "F")
    table.add_column("PHI", "P")
    values = np.column_stack([data.hkl[rows], data.z[rows], np.zeros(len(rows))]).astype(np.float32)
    table.set_data(values)
    grid = table.transform_f_phi_to_map("F", "PHI", sample_rate=3.0)
    found = np.array(grid.array, dtype=float)
    shape = np.array(found.shape)
    places = np.stack(np.meshgrid(*(np.arange(n) / n for n in shape), indexing="ij"), axis=-1)
    outside = np.ones(found.shape, bool)
    orthogonal = np.array(unit_cell.orth.mat.tolist())
    for vector in centring_vectors(group):
        shifts = places - vector
        shifts -= np.rint(shifts)
        near = np.full(found.shape, np.inf)
        for image in np.ndindex(3, 3, 3):
            near = np.minimum(near, np.linalg.norm((shifts + np.array(image) - 1) @ orthogonal.T, axis=-1))
        outside &= near >= NEAREST
    if not outside.any() or found[0, 0, 0] <= 0:
        return None
    place = np.unravel_index(int(np.argmax(np.where(outside, found, -np.inf))), found.shape)
    height = float(np.clip(found[place] / found[0, 0, 0], 1e-6, 1 - 1e-6))
    vector = np.array(place) / shape
    vector -= np.rint(vector)
    p_value = 1.0 - float(np.exp(-(((height / (1 - height)) / 0.06789) ** -3.5628)))
    distance = float(np.linalg.norm(orthogonal @ vector))
    first, second, third = (round(float(abs(v)), 3) for v in vector)
    return Translation((first, second, third), height, distance, p_value, _fractions(vector))


def _fractions(vector: np.ndarray) -> str:
    simple = [Fraction(float(abs(v))).limit_denominator(6) for v in vector]
    if any(abs(float(f) - abs(v)) > 0.02 for f, v in zip(simple, vector, strict=True)):
        return ""
    return ", ".join(str(f) for f in simple)
