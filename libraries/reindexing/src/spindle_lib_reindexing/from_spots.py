"""Spots that are indexed in another setting of the lattice than that of the crystal.

After `spindle symmetry` the crystal has the setting of its space group, while the spots of the refinement before it have the
indices of the first lattice found. Positions tell which lattice point each spot is.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from spindle.models import Experiment, Experiments
from spindle.prediction import add_observed_geometry
from spindle.table import ReflectionTable

FEWEST_SPOTS = 20
DENOMINATOR = 12  # of fractions in changes of basis between centred lattices
LARGEST_DEVIATION = 0.03
BLOCK = 2**17  # spots whose positions are worked out at a time


def in_setting_of(experiments: Experiments, table: ReflectionTable, log: Any) -> ReflectionTable:
    """The table, with its indices in the setting of each experiment's crystal.

    Parameters
    ----------
    experiments : Experiments
    table : ReflectionTable
        With id, miller_index, panel and xyzobs.px.
    log : logging.Logger

    Returns
    -------
    ReflectionTable
        A view with new ``miller_index`` where the positions say that all indices of an experiment belong to another basis of
        the same lattice; else the table itself.
    """
    if "xyzobs.px.value" not in table or "xyzobs.px.variance" not in table or "panel" not in table:
        return table
    hkl = np.array(table.peek("miller_index"))
    changed = False
    indexed = (hkl != 0).any(axis=1)
    for number, rows in table.rows_by_experiment().items():
        experiment, rows = experiments[number], rows[indexed[rows]]
        if experiment.crystal is None or len(rows) < FEWEST_SPOTS:
            continue
        change = change_of_setting(hkl[rows], observed_indices(experiment, table, rows))
        if change is not None:
            hkl[rows] = np.rint(hkl[rows] @ change.T)
            changed = True
            log.info(
                "The spots of experiment %d are indexed in another setting than that of its crystal: h' = %s",
                number, "; ".join(" ".join(f"{v:g}" for v in row) for row in np.round(change, 4) + 0.0),
            )  # fmt: skip
    if not changed:
        return table
    result = table.view()
    result["miller_index"] = hkl
    return result


def observed_indices(experiment: Experiment, table: ReflectionTable, rows: np.ndarray) -> np.ndarray:
    """(n, 3) float64: fractional indices of spots of an experiment from their positions, worked out block by block."""
    out = np.empty((len(rows), 3))
    inverse = np.linalg.inv(experiment.known_crystal.A).T
    for start in range(0, len(rows), BLOCK):
        here = rows[start : start + BLOCK]
        part = ReflectionTable({name: table[name][here] for name in ("panel", "xyzobs.px.value", "xyzobs.px.variance")})
        part["id"] = np.zeros(len(here), np.int32)
        out[start : start + BLOCK] = add_observed_geometry(Experiments([experiment]), part)["rlp"] @ inverse
    return out


def change_of_setting(hkl: np.ndarray, observed: np.ndarray) -> np.ndarray | None:
    """The matrix that takes indices to those of a crystal.

    Parameters
    ----------
    hkl : (n, 3) int
    observed : (n, 3) float64
        Fractional indices that the crystal gives the same spots.

    Returns
    -------
    (3, 3) float64 or None
        None when it is one, or no matrix of simple fractions fits.
    """
    good = np.ones(len(hkl), np.bool_)
    for _ in range(3):  # without spots that belong to nothing
        fit, _, rank, _ = np.linalg.lstsq(hkl[good].astype(np.float64), observed[good], rcond=None)
        if rank < 3:
            return None
        residual = np.abs(observed - hkl @ fit).max(axis=1)
        good = residual <= max(3.0 * float(np.median(residual)), 1e-9)
        if good.sum() < FEWEST_SPOTS:
            return None
    change = np.rint(fit.T * DENOMINATOR) / DENOMINATOR
    if np.array_equal(change, np.eye(3)) or np.abs(change - fit.T).max() > LARGEST_DEVIATION:
        return None
    new = hkl @ change.T
    is_whole = np.abs(new - np.rint(new)).max() < 1e-6
    return change if is_whole and abs(np.linalg.det(change)) > 1e-6 else None
