"""Parameters of the field's usual set that this version has no algorithm for: asking for them is an error."""

from __future__ import annotations

from typing import Any

from spindle.contracts.varying_models import changed_for_varying_models
from spindle.errors import ParameterError
from spindle.params import walk

#: Dotted beginnings of parameters that have an effect only in parts that are not there.
NOT_AVAILABLE = {
    "indexing.mm_search_scope": "the beam position is searched by search_beam_position, not by index",
    "indexing.wide_search_binning": "the beam position is searched by search_beam_position, not by index",
    "indexing.check_misindexing.": "the search for index offsets is not implemented; check the beam centre instead",
    "indexing.combine_scans": "sweeps are indexed together with joint_indexing=True",
    "indexing.multiple_lattice_search.cluster_analysis.": "clustering of candidates is not implemented; use "
    "max_lattices=",
    "indexing.stills.ewald_proximity_resolution_cutoff": "the model of stills is not implemented",
    "indexing.stills.refine_all_candidates": "the model of stills is not implemented",
    "indexing.stills.candidate_outlier_rejection": "the model of stills is not implemented",
    "indexing.stills.refine_candidates_with_known_symmetry": "the model of stills is not implemented",
    "indexing.stills.ewald_proximal_volume_max": "the model of stills is not implemented",
    "indexing.stills.rmsd_min_px": "the model of stills is not implemented",
    "indexing.stills.isoforms": "alternative cells are not implemented; index once with each unit_cell=",
    "indexing.stills.set_": "the model of stills is not implemented",
}


def refuse_unavailable(params: Any) -> None:
    """Stop if a parameter was changed that nothing would heed.

    Raises
    ------
    ParameterError
        Names the parameter, its value and what to do instead.
    """
    for entry in walk(params):
        for beginning, reason in NOT_AVAILABLE.items():
            if entry.path.startswith(beginning) and entry.value != entry.leaf.default_value:
                raise ParameterError(f"{entry.path}={entry.text}: {reason}")
    if params.indexing.stills.indexer == "stills":
        raise ParameterError(
            "indexing.stills.indexer=stills: the model of stills is not implemented; indexer=sequences indexes "
            "stills like "
            "rotation images without rotation"
        )
    if params.refinement.parameterisation.scan_varying is True:
        raise ParameterError(
            "refinement.parameterisation.scan_varying=True: models vary with the scan only in spindle refine, "
            "after indexing"
        )
    for entry in changed_for_varying_models(params.refinement):
        raise ParameterError(
            f"{entry.path}={entry.text}: it acts on models that vary with the scan, and index keeps them constant; give it "
            f"to spindle refine"
        )
