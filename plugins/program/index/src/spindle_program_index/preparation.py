"""From strong spots to points in reciprocal space."""

from __future__ import annotations

from typing import Any

import numpy as np

from spindle.models import Experiments
from spindle.prediction import add_observed_geometry
from spindle.table import ReflectionTable
from spindle_lib_spots.sweeps import strong_spots


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
