"""Space groups, asymmetric units, reindexing and lattice symmetry: a thin layer over gemmi, fast for large arrays."""

from __future__ import annotations

from .change_of_basis import ChangeOfBasis, change_crystal_basis
from .covariance import cell_deviations
from .lattice import (
    LatticeSubgroup,
    lattice_group,
    lattice_subgroups,
    possible_two_folds,
    primitive_operator,
    two_fold_deviations,
)
from .metric import average_metric, constrain_A, constrain_crystal, symmetrise_cell
from .miller import (
    asu_indices,
    epsilon_factors,
    is_centric,
    is_centring_absent,
    is_systematically_absent,
    original_indices,
    unique_indices,
)
from .reduction import cell_parameters, niggli_cell, niggli_reduce, orthogonalisation
from .reference import reference_operator
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
    origin_elsewhere,
    patterson_group,
    patterson_operations,
    rotations,
    sohncke_groups,
    space_group,
    translations,
)

__all__ = [
    "BRAVAIS_LOWEST",
    "ChangeOfBasis",
    "LatticeSubgroup",
    "SpaceGroupLike",
    "asu_indices",
    "average_metric",
    "bravais_type",
    "cell_deviations",
    "cell_parameters",
    "centring_vectors",
    "change_crystal_basis",
    "chiral_symmorphic_group",
    "constrain_A",
    "constrain_crystal",
    "crystal_system",
    "epsilon_factors",
    "group_operations",
    "is_centric",
    "is_centring_absent",
    "is_systematically_absent",
    "lattice_group",
    "lattice_subgroups",
    "laue_class",
    "laue_group_ops",
    "niggli_cell",
    "niggli_reduce",
    "origin_elsewhere",
    "original_indices",
    "orthogonalisation",
    "patterson_group",
    "patterson_operations",
    "possible_two_folds",
    "primitive_operator",
    "reference_operator",
    "rotations",
    "sohncke_groups",
    "space_group",
    "symmetrise_cell",
    "translations",
    "two_fold_deviations",
    "unique_indices",
]
