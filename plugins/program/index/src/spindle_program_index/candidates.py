"""Candidate cells: triples of lattice vectors, reduced."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from spindle.contracts.indexing import CrystalCandidate
from spindle.symmetry import niggli_reduce

#: Candidates are made in blocks of this many triples.
BLOCK = 2000
#: Two bases are of the same lattice when each vector of one is a whole-number combination of the other's within this.
SAME_LATTICE = 0.03
#: Bases of the same lattice that are tried: the vectors of the first may be poor.
VARIANTS = 3
#: Bases, and lattices, that are compared at once.
TOLD_AT_ONCE = 128


@dataclass(frozen=True)
class Candidate:
    """A basis to try.

    Attributes
    ----------
    basis : (3, 3) float64, angstrom
        Rows a, b, c.
    lattice : int
        Number of its lattice, in the order in which they appear.
    copies : tuple of int
        Lattices of the bases since the candidate before that are not worth a try: enough of the same lattice had come.
    """

    basis: np.ndarray
    lattice: int
    copies: tuple[int, ...] = ()


def by_lattice(bases: Iterable[np.ndarray], variants: int = VARIANTS) -> Iterator[Candidate]:
    """Tell bases of new lattices, and the first few of each, from further ones.

    Triples of vectors are many, and most of them span the same few lattices.

    Parameters
    ----------
    bases : iterable of (3, 3) float64, angstrom
        Rows a, b, c.
    variants
        Bases of one lattice that are tried.
    """
    inverses = np.zeros((0, 3, 3))
    seen: list[int] = []
    copies: list[int] = []
    bases = iter(bases)
    while block := list(islice(bases, TOLD_AT_ONCE)):
        rows = np.array(block)
        lattices = np.full(len(rows), -1)
        for start in range(0, len(inverses), TOLD_AT_ONCE):
            same = _spans(rows[:, None], inverses[start : start + TOLD_AT_ONCE])
            lattices = np.where((lattices < 0) & same.any(axis=1), start + np.argmax(same, axis=1), lattices)
        new = []
        for i in range(len(rows)):
            if lattices[i] < 0:
                inverse = np.linalg.inv(rows[i])
                left = np.flatnonzero(lattices < 0)
                lattices[left[_spans(rows[left], inverse)]] = lattices[i] = len(seen)
                new.append(inverse)
                seen.append(0)
            lattice = int(lattices[i])
            seen[lattice] += 1
            if seen[lattice] > variants:
                copies.append(lattice)
            else:
                yield Candidate(rows[i], lattice, tuple(copies))
                copies = []
        inverses = np.concatenate([inverses, *[inverse[None] for inverse in new]])


def _spans(bases: np.ndarray, inverses: np.ndarray) -> np.ndarray:
    """Whether bases (..., 3, 3) are those of the lattices with these inverse bases (..., 3, 3)."""
    combination = bases @ inverses
    whole = np.rint(combination)
    same = np.abs(combination - whole).max(axis=(-2, -1)) < SAME_LATTICE
    same[same] = np.abs(np.rint(np.linalg.det(whole[same]))) == 1
    return np.asarray(same)


def candidate_bases(
    vectors: np.ndarray, max_combinations: int | None = None, accepted: int = 100, min_angle_deg: float = 20.0
) -> Iterator[np.ndarray]:
    """Reduced bases from triples of lattice vectors, the most trustworthy vectors first.

    Parameters
    ----------
    vectors : (m, 3) float64, angstrom
        Most trustworthy first; at most `accepted` are used.
    max_combinations
        Most triples to try; None tries all.
    min_angle_deg
        Triples with smaller angles between two vectors, or between the third and the plane of the others, are left out.

    Yields
    ------
    (3, 3) float64, angstrom
        Rows a, b, c of a right-handed Niggli-reduced basis.
    """
    vectors = vectors[:accepted]
    m = len(vectors)
    i, j, k = np.array(np.meshgrid(*[np.arange(1, m + 1)] * 3, indexing="ij")).reshape(3, -1)
    ordered = (i < j) & (j < k)
    triples = np.column_stack([i, j, k])[ordered]
    triples = triples[np.argsort(np.sum(triples**2, axis=1), kind="stable")] - 1
    if max_combinations is not None:
        triples = triples[:max_combinations]
    for start in range(0, len(triples), BLOCK):
        yield from reduced_bases(vectors[triples[start : start + BLOCK]], min_angle_deg)


def bases_of(candidates: Sequence[CrystalCandidate]) -> Iterator[np.ndarray]:
    """Reduced bases of crystals that a method has found, in its order; rows as in `candidate_bases`."""
    for candidate in candidates:
        basis = np.linalg.inv(candidate.A)
        yield niggli_reduce(basis * np.sign(np.linalg.det(basis)))[0]


def reduced_bases(bases: np.ndarray, min_angle_deg: float = 20.0) -> Sequence[np.ndarray]:
    """Right-handed reduced bases of those triples (n, 3, 3) that are far enough from flat."""
    bases = bases.copy()
    a, b, c = bases[:, 0], bases[:, 1], bases[:, 2]
    cosine = _cosine(a, b)
    limit = np.cos(np.radians(min_angle_deg))
    good = np.abs(cosine) <= limit
    b[cosine > 0] *= -1  # obtuse
    normal = np.cross(a, b)
    good &= np.abs(_cosine(normal, c)) >= np.sin(np.radians(min_angle_deg))
    c[_cosine(b, c) > 0] *= -1
    bases[np.sum(normal * c, axis=1) < 0] *= -1
    bases = bases[good]
    if len(bases) == 0:
        return []
    reduced, _ = niggli_reduce(bases)
    volume = np.abs(np.linalg.det(reduced))
    return reduced[volume > np.prod(np.linalg.norm(reduced, axis=2), axis=1) / 100]


def _cosine(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """(n,) float64: cosines of the angles between rows; 0 where a vector has no length, as for a normal of parallel ones."""
    size = np.linalg.norm(u, axis=1) * np.linalg.norm(v, axis=1)
    return np.asarray(np.divide(np.sum(u * v, axis=1), size, out=np.zeros(len(size)), where=size > 0))
