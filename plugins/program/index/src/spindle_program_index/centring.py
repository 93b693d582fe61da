"""A cell that the user gave without a space group, and that is centred."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from spindle.errors import UserError
from spindle.models import Crystal, Experiments
from spindle.symmetry import is_centring_absent, space_group
from spindle.table import ReflectionTable

from .indexed import Indexed

#: Lattices without further symmetry, the one with the most absences first, and what their indices have in common.
CENTRED = {
    "F 1": "h, k and l all even or all odd",
    "I 1": "h+k+l even",
    "C 1": "h+k even",
    "A 1": "k+l even",
    "B 1": "h+l even",
}
#: Rhombohedral lattices in hexagonal axes, which have no name without their three-fold axis.
RHOMBOHEDRAL = {"R 3:H": "-h+k+l a multiple of 3"}
#: Indices below which nothing is concluded.
FEWEST = 50


def shared_condition(hkl: np.ndarray, threshold: float) -> tuple[str, str, float] | None:
    """Group, condition and fraction of indices that meet it, of the centring that indices show; None for a primitive lattice.

    Parameters
    ----------
    hkl : (n, 3) int
    threshold : float
        Smallest fraction of indices that meet the condition.
    """
    if len(hkl) < FEWEST:
        return None
    for name, condition in {**CENTRED, **RHOMBOHEDRAL}.items():
        share = 1.0 - float(np.mean(is_centring_absent(hkl, space_group(name))))
        if share > threshold:
            return name, condition, share
    return None


def is_tried_centred(params: Any, table: ReflectionTable) -> bool:
    """Whether indexed spots show that a cell that was given alone is centred: then models with that centring follow."""
    known = params.indexing.known_symmetry
    threshold = params.indexing.basis_vector_combinations.sys_absent_threshold
    if known.unit_cell is None or known.space_group is not None or not threshold:
        return False
    found = shared_condition(table["miller_index"][table["id"] >= 0], threshold)
    return found is not None and found[0] not in RHOMBOHEDRAL


def again_where_centred(index: Callable[..., Indexed]) -> Callable[..., Indexed]:
    """Index again with the centring that the indices show, where a cell was given without a space group.

    Parameters
    ----------
    index
        Of sweeps, spots, parameters of the program, context and crystals.
    """

    @wraps(index)
    def indexed(
        sweeps: Experiments, spots: ReflectionTable, params: Any, context: Any, crystals: list[Crystal] | None = None
    ) -> Indexed:
        part = index(sweeps, spots, params, context, crystals)
        known = params.indexing.known_symmetry
        threshold = params.indexing.basis_vector_combinations.sys_absent_threshold
        if known.unit_cell is None or known.space_group is not None or not threshold:
            return part
        found = shared_condition(part.reflections["miller_index"][part.reflections["id"] >= 0], threshold)
        if found is None:
            return part
        name, condition, share = found
        text = f"{100 * share:.1f} % of the indices have {condition}: the unit cell that was given is centred"
        if name not in RHOMBOHEDRAL:
            context.log.info("%s. Indexing again with %s; space_group=P1 keeps it primitive", text, name)
            # A lattice of that volume can be another than the cell that was given, and show another centring.
            for group in [name, *(g for g in CENTRED if g != name)]:
                again = _with_group(lambda p: index(sweeps, spots, p, context, crystals), params, group)
                if again is not None and again.n_indexed > threshold * part.n_indexed:
                    return again
        advice = f"Give its space group as well, such as space_group={name.replace(' ', '')}"
        part.warnings = [*part.warnings, f"WARNING: {text}. {advice}"]
        return part

    return indexed


def _with_group(index: Callable[[Any], Indexed], params: Any, group: str) -> Indexed | None:
    """The result in a centred cell, whose crystals later steps may give another group; None without one."""
    try:
        part = index(params.changed(indexing__known_symmetry__space_group=group))
    except UserError:
        return None
    for crystal in part.experiments.unique("crystal"):
        if crystal is not None:
            unknown = crystal.with_space_group(space_group(group), known=False)
            part.experiments = part.experiments.with_model(crystal, unknown)
    return part
