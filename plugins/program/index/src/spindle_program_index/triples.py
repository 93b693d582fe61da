"""Which triples of lattice vectors belong to one lattice: those that many of the spots have in common."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .candidates import reduced_bases
from .kernels import common_bits

#: A spot is on the planes of a vector within this, in units of their distance.
NEAR = 0.15
#: Most vectors that are combined, and most spots that are asked.
MOST_VECTORS, MOST_SPOTS = 120, 4096
#: Triples that are made into cells, at most.
MOST_TRIPLES = 3000


def likely_bases(
    vectors: np.ndarray, rlp: np.ndarray, error: float, max_combinations: int | None = None
) -> Iterator[np.ndarray]:
    """Reduced bases of triples of vectors, those first that say most about the spots.

    Parameters
    ----------
    vectors : (m, 3) float64, angstrom
    rlp : (n, 3) float64, 1/angstrom
        Spots that the vectors were found from.
    error : float, 1/angstrom
        About how well a spot is known.
    max_combinations
        Most triples to try; None takes the first thousands.

    Yields
    ------
    (3, 3) float64, angstrom
        Rows a, b, c of a right-handed Niggli-reduced basis.

    Notes
    -----
    A spot of a lattice lies on a plane of each of its vectors, one of another lattice on three planes only by chance. Of lattices
    with the same spots the one with the smaller cell says more.
    """
    vectors = vectors[:MOST_VECTORS]
    if len(vectors) < 3 or len(rlp) == 0:
        return
    points = rlp if len(rlp) <= MOST_SPOTS else rlp[np.random.default_rng(42).permutation(len(rlp))[:MOST_SPOTS]]
    turns = points @ vectors.T
    near = np.abs(turns - np.rint(turns)) < NEAR
    words = -(-len(points) // 64)
    padded = np.zeros((len(vectors), words * 64), dtype=np.bool_)
    padded[:, : len(points)] = near.T
    bits = np.packbits(padded, axis=1).view(np.uint64).reshape(len(vectors), words)
    i, j, k = np.array(np.meshgrid(*[np.arange(len(vectors))] * 3, indexing="ij")).reshape(3, -1)
    triples = np.ascontiguousarray(np.column_stack([i, j, k])[(i < j) & (j < k)])
    volume = np.abs(np.linalg.det(vectors[triples]))
    lengths = np.prod(np.linalg.norm(vectors[triples], axis=2), axis=1)
    solid = volume > 0.01 * lengths
    triples, volume = triples[solid], volume[solid]
    count = common_bits(bits, triples)
    chance = len(points) * (2 * NEAR) ** 3
    excess = np.maximum(count - chance - 2 * np.sqrt(chance), 0.0)
    per_spot = -1.5 * np.log(2 * np.pi) - 3 * np.log(error) - np.log(volume)
    order = np.argsort(-excess * np.maximum(per_spot, 0.1), kind="stable")
    order = order[excess[order] > 0][: max_combinations or MOST_TRIPLES]
    yield from reduced_bases(vectors[triples[order]])
