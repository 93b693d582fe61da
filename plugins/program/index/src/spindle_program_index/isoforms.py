"""Which of several known cells a crystal has."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from spindle.contracts.indexing import IndexingError
from spindle.contracts.refiner import RefinementError
from spindle.models import Crystal
from spindle_lib_refinement.geometry_drift import panel_of_beam

from .known_symmetry import KnownSymmetry
from .orientation import primitive_basis
from .proposals import reduced_basis

if TYPE_CHECKING:
    from .stills_indexer import StillsIndexer

#: Key of a crystal's extra values: the name of its isoform.
ISOFORM = "identified_isoform"


def choose_isoform(indexer: StillsIndexer, number: int) -> None:
    """Give a crystal of an indexer the one of the known cells whose predictions are nearest to the spots.

    Each cell is kept as it is while the orientation is refined.

    Raises
    ------
    IndexingError
        If the crystal has none of the cells, or the nearest misses the spots by more than it may.
    """
    stills = indexer.params.indexing.stills
    before = _state(indexer)
    found: list[tuple[float, Any, dict[str, Any]]] = []
    for isoform in stills.isoforms:
        crystal = as_isoform(before["crystals"][number], isoform, indexer.params.indexing.known_symmetry)
        if crystal is None:
            indexer.context.log.debug("The crystal is not like the isoform %s", name_of(isoform))
            continue
        _restore(indexer, before)
        indexer.crystals[number] = crystal
        try:
            rmsd = indexer.refine_orientation(number)
        except RefinementError as error:
            indexer.context.log.debug("The isoform %s cannot be refined: %s", name_of(isoform), error)
            continue
        found.append((rmsd, isoform, _state(indexer)))
    if not found:
        cell = " ".join(f"{v:.2f}" for v in before["crystals"][number].cell)
        raise IndexingError(
            f"index: the cell {cell} is like none of indexing.stills.isoforms ({', '.join(name_of(i) for i in stills.isoforms)}): give its "
            "cell there, or loosen known_symmetry.relative_length_tolerance and absolute_angle_tolerance"
        )
    found.sort(key=lambda f: f[0])
    rmsd, isoform, state = found[0]
    _restore(indexer, state)
    indexer.crystals[number] = replace(
        indexer.crystals[number], extra=indexer.crystals[number].extra | {ISOFORM: name_of(isoform)}
    )
    others = ", ".join(f"{name_of(i)} {r:.4f}" for r, i, _ in found[1:]) or "none"
    indexer.context.log.info("Isoform %s: rmsd %.4f mm (others: %s)", name_of(isoform), rmsd, others)
    _check(indexer, isoform, rmsd)


def as_isoform(crystal: Crystal, isoform: Any, known: Any) -> Crystal | None:
    """The crystal with the cell of an isoform and its own orientation; None when it is not like it."""
    if isoform.cell is None:
        raise IndexingError(f"index: indexing.stills.isoforms: {name_of(isoform)} has no cell; give isoforms.cell=")
    group = isoform.lookup_symbol or crystal.space_group.xhm()
    like = KnownSymmetry.from_params(known.changed(space_group=group, unit_cell=isoform.cell))
    assert like is not None and like.cell is not None
    A = like.constrained(reduced_basis(np.linalg.inv(primitive_basis(crystal))))
    if A is None:
        return None
    own = like.crystal(A)
    exact = Crystal.from_cell(like.cell, own.U, like.group)
    return replace(own.with_A(exact.A), extra=crystal.extra | own.extra)


def _check(indexer: StillsIndexer, isoform: Any, rmsd: float) -> None:
    limit = isoform.rmsd_target_mm
    if limit is not None and rmsd > limit:
        raise IndexingError(
            f"index: the nearest isoform, {name_of(isoform)}, misses the spots by {rmsd:.4f} mm, more than its rmsd_target_mm={limit:g}"
        )
    if isoform.beam_restraint is None:
        return
    sweep = indexer.sweeps[0]
    panel = sweep.detector[panel_of_beam(sweep.detector, sweep.beam.s0)]
    ray = sweep.beam.s0 * (panel.origin @ panel.normal) / (sweep.beam.s0 @ panel.normal)
    centre = ray[:2]
    away = float(np.hypot(*np.subtract(centre, isoform.beam_restraint)))
    if away > (np.inf if limit is None else limit):
        raise IndexingError(
            f"index: with the isoform {name_of(isoform)} the beam centre is {centre[0]:.3f}, {centre[1]:.3f} mm, {away:.3f} mm from its "
            f"beam_restraint and farther than its rmsd_target_mm={limit:g}"
        )


def name_of(isoform: Any) -> str:
    """Its name, or its cell."""
    return isoform.name or " ".join(f"{v:g}" for v in isoform.cell or ())


def _state(indexer: StillsIndexer) -> dict[str, Any]:
    return {"crystals": list(indexer.crystals), "table": indexer.table, "sweeps": indexer.sweeps, "last": indexer.last}


def _restore(indexer: StillsIndexer, state: dict[str, Any]) -> None:
    indexer.crystals = list(state["crystals"])
    indexer.table, indexer.sweeps, indexer.last = state["table"], state["sweeps"], state["last"]
