"""A cell that the user gave without a space group, and that is centred."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from spindle.errors import UserError
from spindle.symmetry import is_centring_absent, space_group

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


def with_centring(part: Indexed, params: Any, index_again: Callable[[Any], Indexed], log: Any) -> Indexed:
    """The result in the centred cell that was given without a space group, or the same result where it is primitive.

    Parameters
    ----------
    part : Indexed
        In P 1.
    params
        Of the program.
    index_again
        Indexes the same spots with other parameters.
    log
        For what is found.
    """
    known = params.indexing.known_symmetry
    threshold = params.indexing.basis_vector_combinations.sys_absent_threshold
    if known.unit_cell is None or known.space_group is not None or not threshold:
        return part
    table = part.reflections
    found = shared_condition(table["miller_index"][table["id"] >= 0], threshold)
    if found is None:
        return part
    name, condition, share = found
    text = f"{100 * share:.1f} % of the indices have {condition}: the unit cell that was given is centred"
    if name not in RHOMBOHEDRAL:
        log.info("%s. Indexing again with %s; space_group=P1 keeps it primitive", text, name)
        # A cell of twice the volume can be another than the one given, and show another centring.
        for group in [name, *(g for g in CENTRED if g != name)]:
            try:
                again = index_again(params.changed(indexing__known_symmetry__space_group=group))
            except UserError:
                continue
            if again.n_indexed > threshold * part.n_indexed:
                for crystal in again.experiments.unique("crystal"):
                    unknown = crystal.with_space_group(space_group(group), known=False)
                    again.experiments = again.experiments.with_model(crystal, unknown)
                return again
    part.warnings = [
        *part.warnings,
        f"WARNING: {text}. Give its space group as well, such as space_group={name.replace(' ', '')}",
    ]
    return part
