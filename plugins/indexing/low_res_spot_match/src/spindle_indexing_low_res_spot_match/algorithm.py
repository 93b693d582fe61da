"""The low_res_spot_match indexing method."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.indexing import CrystalCandidate, IndexingError, KnownLattice
from spindle.models import Experiments
from spindle.params import Bool, Choice, Float, Int
from spindle.params import Params as ParamsBase
from spindle.symmetry import orthogonalisation, primitive_operator, space_group
from spindle.table import ReflectionTable

from .matches import Matches, extend, pairs, single_spots
from .orientation import bootstrap, superpose
from .spots import candidate_spots, indices_within

logger = logging.getLogger(__name__)

#: Crystals that are returned at most.
MOST_CRYSTALS = 100
#: Orientations nearer to each other than this are one, degrees.
SAME_DEG = 1.0


class LowResSpotMatchIndexing(Algorithm):
    """Orientations of a known crystal that put lattice points on the spots of lowest resolution.

    For stills with few spots, above all of electrons, whose Ewald sphere is nearly flat: a still shows one plane of reciprocal space and
    tells nothing of the third direction, so that lattice vectors cannot be found, while the known cell makes two or three
    spots of low resolution enough. Needs unit_cell= and, for the symmetry, space_group=.
    """

    class Params(ParamsBase):
        """Matching spots of low resolution with the lattice points of the known cell."""

        class candidate_spots(ParamsBase):
            """Which spots are matched."""

            limit_resolution_by = Choice(
                ["n_spots", "d_min"], default="n_spots", help="Take so many spots, or those up to a resolution."
            )
            d_min = Float(15.0, min=0.1, units="A", help="Resolution limit, for limit_resolution_by=d_min.")
            n_spots = Int(10, min=2, max=1000, help="Spots of lowest resolution, for limit_resolution_by=n_spots.")
            d_star_tolerance = Float(
                4.0,
                min=0,
                max=1000,
                help="How far a spot may be from the distance of its index from the beam, in its standard deviations.",
            )

        use_P1_indices_as_seeds = Bool(
            False, help="Begin with all indices, not only with those that symmetry makes different."
        )
        search_depth = Choice(
            ["triplets", "quads"],
            default="triplets",
            help="How many spots are matched before the orientation is found.",
        )
        bootstrap_crystal = Bool(False, help="Improve each orientation with further spots, at rising resolution.")
        max_pairs = Int(200, min=1, max=1_000_000, help="Pairs of spots with indices that are kept, the best ones.")
        max_triplets = Int(600, min=1, max=1_000_000, help="Triplets that are kept.")
        max_quads = Int(600, min=1, max=1_000_000, help="Quads that are kept.")

    @hookimpl
    def find_crystals(
        self, sweeps: Experiments, spots: ReflectionTable, known: KnownLattice | None
    ) -> list[CrystalCandidate]:
        """Crystals of the known cell, those first that most of the spots agree with."""
        if known is None or known.cell is None:
            raise IndexingError(
                "indexing.method=low_res_spot_match needs the unit cell: give unit_cell= and space_group=, or use "
                "indexing.method=fft3d"
            )
        if len(sweeps) > 1 or not sweeps[0].is_still:
            raise IndexingError(
                "indexing.method=low_res_spot_match matches the spots of one still: leave joint_indexing=True out, and use another "
                "method for rotation images"
            )
        group = space_group("P 1" if known.space_group is None else known.space_group)
        direct = orthogonalisation(known.cell).T
        reciprocal = np.linalg.inv(direct)
        chosen = candidate_spots(sweeps[0], spots, self.params.candidate_spots)
        if len(chosen.rlp) < 2:
            return []
        seeds, stems = (
            indices_within(chosen, reciprocal, group, unique)
            for unique in (not self.params.use_P1_indices_as_seeds, False)
        )
        logger.info(
            "Matching %d spots to %.2f A with %d indices",
            len(chosen.rlp),
            1 / np.linalg.norm(chosen.rlp, axis=1).max(),
            len(stems.hkl),
        )
        found = self._matches(single_spots(seeds), stems)
        turns = superpose(found)
        rlp = np.asarray(spots["rlp"], dtype=np.float64)
        rlp = rlp[np.argsort(np.linalg.norm(rlp, axis=1), kind="stable")]
        if self.params.bootstrap_crystal:
            turns = bootstrap(turns, reciprocal, rlp)
        primitive = primitive_operator(group).matrix @ direct
        return _ranked(turns, np.linalg.inv(primitive), rlp)

    def _matches(self, seeds: Matches, stems: Any) -> Matches:
        """Pairs, triplets and, if wanted, quads; as many spots as there are matches for."""
        found = pairs(seeds, stems, self.params.max_pairs)
        depths = [self.params.max_triplets]
        if self.params.search_depth == "quads":
            depths.append(self.params.max_quads)
        for most in depths:
            further = extend(found, stems, most)
            if len(further.residual) == 0:
                break
            found = further
        return found


def _ranked(turns: np.ndarray, A: np.ndarray, rlp: np.ndarray) -> list[CrystalCandidate]:
    """Crystals with these rotations (m, 3, 3), the ones that agree with most spots first, each orientation once."""
    if len(turns) == 0:
        return []
    # Spots of low resolution tell; at high resolution the error of the orientation is larger than an index.
    points = rlp[: max(20, len(rlp) // 2)]
    inverse = np.linalg.inv(turns @ A)
    turned = np.einsum("mij,nj->mni", inverse, points)
    away = np.sum((turned - np.rint(turned)) ** 2, axis=2)
    weight = np.exp(-away / (2 * 0.1**2)).sum(axis=1)
    order = np.argsort(-weight, kind="stable")
    kept: list[int] = []
    for i in order:
        near = np.einsum("kij,ij->k", turns[kept], turns[i]) if kept else np.zeros(0)
        if np.all((near - 1) / 2 < np.cos(np.radians(SAME_DEG))):
            kept.append(int(i))
        if len(kept) == MOST_CRYSTALS:
            break
    return [CrystalCandidate(np.ascontiguousarray(turns[i] @ A), float(weight[i])) for i in kept]
