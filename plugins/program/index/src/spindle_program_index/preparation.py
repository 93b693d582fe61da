"""From strong spots to points in reciprocal space."""

from __future__ import annotations

from collections.abc import Sequence
from logging import Logger
from typing import Any

import numpy as np

from spindle.errors import ParameterError
from spindle.models import Crystal, Experiments
from spindle.params import Auto
from spindle.prediction import add_observed_geometry
from spindle.table import ReflectionTable
from spindle_lib_spots.max_cell import estimate_max_cell
from spindle_lib_spots.sweeps import strong_spots

from .known_symmetry import KnownSymmetry


def prepare(table: ReflectionTable, sweeps: Experiments, params: Any) -> ReflectionTable:
    """The strong spots, not indexed yet, with their place in reciprocal space.

    Parameters
    ----------
    table : ReflectionTable
    sweeps : Experiments
    params : Params
        The scope ``indexing``.
    """
    result = strong_spots(table, params.image_range)
    return place_in_reciprocal_space(result, sweeps, params)


def place_in_reciprocal_space(table: ReflectionTable, sweeps: Experiments, params: Any) -> ReflectionTable:
    """Recompute positions in mm, s1, rlp and entering from the current models."""
    result = add_observed_geometry(sweeps, table, "imageset_id")
    if params.sigma_phi_deg is not None:
        variance = np.array(result["xyzobs.mm.variance"])
        variance[:, 2] = np.radians(params.sigma_phi_deg) ** 2
        result["xyzobs.mm.variance"] = variance
    return result


def longest_edge(
    params: Any, table: ReflectionTable, known: KnownSymmetry | None, given: Sequence[Crystal], log: Logger
) -> float:
    """Longest edge of a primitive cell to look for, angstrom: as given, of what is known, or from neighbouring spots.

    Parameters
    ----------
    params : Params
        The scope ``indexing``.
    table : ReflectionTable
        Strong spots with ``rlp``.
    known : KnownSymmetry, optional
    given : sequence of Crystal
        Those of the input, used as they are.
    log : logging.Logger
        Is told the value.

    Raises
    ------
    ParameterError
        Where nothing is between it and ``min_cell``.
    """
    is_given = params.max_cell not in (Auto, None)
    if is_given:
        value, how = float(params.max_cell), "Using"
    elif known is not None and known.cell is not None:
        value, how = params.max_cell_estimation.multiplier * known.longest_primitive_edge(), "Using"
    elif given:
        value, how = float(max(c.cell[:3].max() for c in given)), "Using"
    else:
        value, how = estimate_max_cell(table, params.max_cell_estimation), "Found"
    shortest = float(params.min_cell or 0.0)
    if value <= shortest and not given:
        source = (
            ""
            if is_given
            else ", that of the known cell,"
            if known is not None and known.cell is not None
            else ", that of the spots,"
        )
        raise ParameterError(
            f"index: indexing.max_cell={value:g} A{source} is not above indexing.min_cell={shortest:g} A, and no lattice "
            "vector is between them; give a longer max_cell, or a shorter min_cell"
        )
    log.info("%s max_cell: %.1f Angstrom", how, value)
    return float(value)
