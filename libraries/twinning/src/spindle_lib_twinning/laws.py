"""Twin laws that a lattice allows, and what the intensities of the reflections that they overlay say about the twin fraction.

H test: Yeates (1988), Acta Cryst. A44, 142. Negative intensities: Britton (1972), Acta Cryst. A28, 296; Fisher & Sweet (1980), Acta
Cryst. A36, 755. R of twin mates: Lebedev, Vagin & Murshudov (2006), Acta Cryst. D62, 83.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spindle.symmetry import (
    ChangeOfBasis,
    SpaceGroupLike,
    asu_indices,
    lattice_group,
    laue_group_ops,
    niggli_reduce,
    orthogonalisation,
    possible_two_folds,
    primitive_operator,
    two_fold_deviations,
)
from spindle_lib_merging import correlation, pack_indices
from spindle_lib_symmetry_analysis.alignment import cosets

from .intensities import Normalised

#: Largest Le Page delta of a twin law, degrees.
MAX_DELTA = 3.0
#: Fewer pairs tell nothing.
FEWEST_PAIRS = 50
#: Twin fractions at which negative intensities are counted.
BRITTON_FRACTIONS = np.arange(50) / 101.0


@dataclass(frozen=True, slots=True)
class TwinLaw:
    """A rotation of the lattice that is none of the crystal.

    Attributes
    ----------
    operator : ChangeOfBasis
        Acts on the indices.
    delta : float, degrees
        How far the lattice is from having this symmetry; 0 for merohedry.
    """

    operator: ChangeOfBasis
    delta: float

    @property
    def name(self) -> str:
        """The indices that come to lie on h, k, l."""
        return self.operator.as_hkl()


@dataclass(frozen=True, slots=True)
class LawStatistics:
    """What the pairs of reflections say that a twin law overlays.

    Attributes
    ----------
    law : TwinLaw
    n : int
        Acentric pairs among the stronger half.
    r_twin, cc : float
        Sum |I1 - I2| / sum (I1 + I2): 0.5 for unrelated reflections, (1 - 2 a) / 2 in a twin; and their correlation.
    fraction_h, fraction_h_square, fraction_britton : float
        Twin fraction by <|H|>, by <H^2> (errors of measurement subtracted), and by the onset of negative intensities.
    fraction_error : float
        Standard deviation of `fraction_h_square`.
    cumulative : (21,) float64
        Part of the pairs with |H| below 0, 0.05 ... 1.
    """

    law: TwinLaw
    n: int
    r_twin: float
    cc: float
    fraction_h: float
    fraction_h_square: float
    fraction_britton: float
    fraction_error: float
    cumulative: np.ndarray

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "law": self.law.name, "delta": self.law.delta, "n_pairs": self.n, "r_twin": self.r_twin, "cc": self.cc,
            "fraction_h": self.fraction_h, "fraction_h_square": self.fraction_h_square,
            "fraction_britton": self.fraction_britton, "fraction_error": self.fraction_error,
            "cumulative": [round(float(v), 4) for v in self.cumulative],
        }  # fmt: skip


def twin_laws(cell: npt.ArrayLike, group: SpaceGroupLike, max_delta: float = MAX_DELTA) -> list[TwinLaw]:
    """Rotations of the lattice that the Laue group lacks, one of each set that overlays the same reflections."""
    basis = orthogonalisation(cell).T
    to_primitive = primitive_operator(group).matrix
    reduced, transform = niggli_reduce(to_primitive @ basis)
    change = transform @ to_primitive  # reduced basis = change @ basis
    turn = np.linalg.inv(change).T  # of coordinates
    lattice = lattice_group(reduced, max_delta)
    own = [np.rint(turn @ r @ np.linalg.inv(turn)).astype(np.int64) for r in laue_group_ops(group, proper=True)]
    found = []
    for first in cosets(lattice, own)[1:]:
        rotation = min((first @ s for s in own), key=lambda r: _complexity(_of_indices(r, change)))
        delta = _obliquity(reduced, [first @ s for s in own])
        operator = ChangeOfBasis(np.rint(_of_indices(rotation, change) * 24) / 24)
        found.append(TwinLaw(operator, round(float(delta), 3)))
    return found


def _obliquity(basis: np.ndarray, rotations: Sequence[np.ndarray]) -> float:
    """How far, in degrees, the lattice is from having the simplest of some rotations: Le Page's delta of two-folds, else the strain."""
    folds = possible_two_folds()
    keys = {r.astype(np.int64).tobytes() for r in rotations}
    inside = np.array([r.astype(np.int64).tobytes() in keys for r in folds.rotations])
    if inside.any():
        return float(two_fold_deviations(basis, folds)[inside].min())
    columns = basis.T
    strains = [np.abs(np.log(np.linalg.svd(columns @ r @ np.linalg.inv(columns))[1])).max() for r in rotations]
    return float(np.degrees(min(strains)))


def _of_indices(rotation: np.ndarray, change: np.ndarray) -> np.ndarray:
    """(3, 3): what a rotation of coordinates in the reduced cell does to indices (columns) in the cell of the group."""
    return np.asarray(np.linalg.inv(change) @ rotation.T @ change)


def _complexity(matrix: np.ndarray) -> tuple[float, float]:
    return float(np.abs(matrix).sum()), float((matrix < -1e-6).sum())


def mates(hkl: np.ndarray, law: TwinLaw, group: SpaceGroupLike) -> tuple[np.ndarray, np.ndarray]:
    """Rows of unique reflections and of those that a law overlays on them, each pair once."""
    turned, whole = law.operator.apply_to_indices(hkl)
    keys = pack_indices(hkl)
    order = np.argsort(keys)
    wanted = pack_indices(asu_indices(turned, group)[0])
    place = np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)
    partner = order[place]
    rows = np.flatnonzero((keys[partner] == wanted) & whole & (wanted != keys))
    first, second = np.minimum(rows, partner[rows]), np.maximum(rows, partner[rows])
    pairs = np.unique(np.stack([first, second], axis=1), axis=0)
    return pairs[:, 0], pairs[:, 1]


def own_mates(hkl: np.ndarray, laws: Sequence[TwinLaw], group: SpaceGroupLike) -> np.ndarray:
    """(n,) bool: unique reflections that one of the laws overlays on their own equivalents."""
    found, keys = np.zeros(len(hkl), bool), pack_indices(hkl)
    for law in laws:
        turned, whole = law.operator.apply_to_indices(hkl)
        found |= whole & (pack_indices(asu_indices(turned, group)[0]) == keys)
    return found


def law_statistics(data: Normalised, laws: Sequence[TwinLaw], group: SpaceGroupLike) -> list[LawStatistics]:
    """Twin fractions of every law of which enough pairs were measured."""
    found = []
    for law in laws:
        if not len(data):
            break
        first, second = mates(data.hkl, law, group)
        acentric = ~(data.centric[first] | data.centric[second])
        first, second = first[acentric], second[acentric]
        if len(first) >= FEWEST_PAIRS:
            found.append(_of_pairs(data, law, first, second))
    return found


def _of_pairs(data: Normalised, law: TwinLaw, first: np.ndarray, second: np.ndarray) -> LawStatistics:
    x, y = data.z[first], data.z[second]
    r_twin, cc = float(np.abs(x - y).sum() / (x + y).sum()), correlation(x, y)
    britton = britton_fraction(x, y)
    total = x + y
    strong = (total >= np.median(total)) & (total > 0)
    x, y, total = x[strong], y[strong], total[strong]
    h = np.clip((x - y) / total, -1.0, 1.0)
    # dH/dx = 2 y / (x + y)^2
    noise = 4.0 * ((y * data.sigma_z[first[strong]]) ** 2 + (x * data.sigma_z[second[strong]]) ** 2) / total**4
    square = max(float((h**2).mean() - noise.mean()), 0.0)
    by_mean = 0.5 * (1.0 - 2.0 * float(np.abs(h).mean()))
    by_square = 0.5 * (1.0 - np.sqrt(3.0 * square))
    deviation = float(np.std(h**2)) / np.sqrt(len(h))
    error = 0.25 * 3.0 * deviation / np.sqrt(3.0 * max(square, deviation))
    cumulative = np.searchsorted(np.sort(np.abs(h)), np.linspace(0, 1, 21), side="right") / len(h)
    return LawStatistics(
        law, len(h), r_twin, cc, max(by_mean, 0.0), max(float(by_square), 0.0), britton, float(error), cumulative
    )  # fmt: skip


def britton_fraction(first: np.ndarray, second: np.ndarray) -> float:
    """Twin fraction at which intensities, untwinned with a larger fraction, begin to be negative.

    The part of negative ones against the fraction is a straight line beyond the onset; the longest range at the end with a correlation
    of 0.995 is taken (of 0.99 and so on where there is none).
    """
    parts = []
    for a in BRITTON_FRACTIONS:
        one, two = (1 - a) * first - a * second, (1 - a) * second - a * first
        parts.append(0.5 * (float((one < 0).mean()) + float((two < 0).mean())))
    y = np.array(parts) - parts[0]
    for least in np.arange(0.995, 0.9, -0.005):
        for start in range(len(y) - 5):
            x, values = BRITTON_FRACTIONS[start:], y[start:]
            if values[-1] <= 0 or not correlation(x, values) >= least:
                continue
            slope, offset = np.polyfit(x, values, 1)
            return float(np.clip(-offset / slope, 0.0, 0.5)) if slope > 0 else 0.0
    return 0.5 if y[-1] < 0.02 else 0.0
