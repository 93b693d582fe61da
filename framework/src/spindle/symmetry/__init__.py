"""Space groups, asymmetric units, reindexing and lattice symmetry: a thin layer over gemmi, vectorised where it counts."""

from __future__ import annotations

from .miller import (
    asu_indices,
    epsilon_factors,
    is_centric,
    is_centring_absent,
    is_systematically_absent,
    original_indices,
    unique_indices,
)
from .space_groups import (
    BRAVAIS_LOWEST,
    SpaceGroupLike,
    bravais_type,
    centring_vectors,
    chiral_symmorphic_group,
    crystal_system,
    group_operations,
    laue_class,
    laue_group_ops,
    patterson_group,
    patterson_operations,
    rotations,
    sohncke_groups,
    space_group,
    translations,
)

__all__ = [
    "BRAVAIS_LOWEST",
    "SpaceGroupLike",
    "asu_indices",
    "bravais_type",
    "centring_vectors",
    "chiral_symmorphic_group",
    "crystal_system",
    "epsilon_factors",
    "group_operations",
    "is_centric",
    "is_centring_absent",
    "is_systematically_absent",
    "laue_class",
    "laue_group_ops",
    "original_indices",
    "patterson_group",
    "patterson_operations",
    "rotations",
    "sohncke_groups",
    "space_group",
    "translations",
    "unique_indices",
]
