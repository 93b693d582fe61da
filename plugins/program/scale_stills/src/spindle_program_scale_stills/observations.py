"""The observations of all stills as arrays, those of one still next to each other."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from spindle.errors import UserError
from spindle.models import Crystal, Experiments
from spindle.table import ReflectionTable, rows_by_value
from spindle_lib_merging import Groups, group_equivalents, prepare_intensities

__all__ = ["Observations", "collect", "with_common_cell"]


@dataclass(slots=True)
class Observations:
    """Observations of stills.

    Attributes
    ----------
    rows : (n,) int64
        Of the table.
    offsets : (m + 1,) int64
        Still k has the observations ``offsets[k]`` to ``offsets[k + 1]``.
    still : (n,) int64
    hkl : (n, 3) int32
    q : (n, 3) float64, 1/angstrom
        Reciprocal-lattice points as the crystals were indexed.
    d : (n,) float64, angstrom
    value, variance : (n,) float64
        Corrected partial intensities.
    per_count : (n,) float64
        Corrected intensity of one photon.
    partiality : (n,) float64
        What the table says; 1 without the column.
    groups : Groups
        Unique reflections.
    index : (n,) int64
        The unique reflection of each.
    s0, e1, e2 : (m, 3) float64
        Beams, and two axes across each.
    """

    rows: np.ndarray
    offsets: np.ndarray
    still: np.ndarray
    hkl: np.ndarray
    q: np.ndarray
    d: np.ndarray
    value: np.ndarray
    variance: np.ndarray
    per_count: np.ndarray
    partiality: np.ndarray
    groups: Groups
    index: np.ndarray
    s0: np.ndarray
    e1: np.ndarray
    e2: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def n_stills(self) -> int:
        """Number of stills, those without observations among them."""
        return len(self.offsets) - 1

    @property
    def n_unique(self) -> int:
        """Number of unique reflections."""
        return self.groups.n_groups


def collect(
    experiments: Experiments, table: ReflectionTable, d_min: float | None, d_max: float | None, anomalous: bool
) -> Observations:
    """The integrated reflections of stills.

    Parameters
    ----------
    experiments : Experiments
        Stills with crystals of one space group.
    table : ReflectionTable
        Its ``id`` numbers the experiments.
    d_min, d_max : float, optional
    anomalous : bool
        Friedel mates are different reflections.

    Raises
    ------
    UserError
        If there is a scan, a crystal is missing, space groups differ, or nothing was integrated.
    """
    groups: dict[str, int] = {}
    for k, experiment in enumerate(experiments):
        if not experiment.is_still:
            raise UserError(
                f"scale_stills: experiment {k} is a scan, not a still; scale scans with spindle scale, or leave it out with spindle "
                "split_experiments"
            )
        if experiment.crystal is None:
            raise UserError(f"scale_stills: experiment {k} has no crystal; run spindle index")
        groups.setdefault(experiment.crystal.space_group.xhm(), k)
    if len(groups) > 1:
        said = ", ".join(f"{name} (experiment {k})" for name, k in groups.items())
        raise UserError(f"scale_stills: the crystals are in {said}; bring them to one with spindle cosym")
    data = prepare_intensities(_whole(table), "auto", d_min=d_min, d_max=d_max)
    found = data.table
    order = np.argsort(found["id"], kind="stable")
    still = found["id"][order].astype(np.int64)
    keep = still >= 0
    order, still = order[keep], still[keep]
    hkl = found["miller_index"][order]
    m = len(experiments)
    q = np.empty((len(order), 3))
    for k, rows in rows_by_value(still).items():
        q[rows] = hkl[rows] @ experiments[k].known_crystal.A.T
    s0 = np.array([e.beam.s0 for e in experiments])
    e1 = np.cross(
        s0, np.where(np.abs(s0[:, :1]) < 0.9 * np.linalg.norm(s0, axis=1)[:, None], [[1.0, 0, 0]], [[0, 1.0, 0]])
    )
    e1 /= np.linalg.norm(e1, axis=1)[:, None]
    e2 = np.cross(s0, e1)
    e2 /= np.linalg.norm(e2, axis=1)[:, None]
    per_count = np.ones(len(found)) if "lp" not in found else np.asarray(found["lp"], np.float64)
    if "qe" in found:
        per_count = per_count / found["qe"]
    grouped = group_equivalents(hkl, experiments[0].known_crystal.space_group, anomalous)
    partiality = found["partiality_of_still"][order] if "partiality_of_still" in found else np.ones(len(order))
    return Observations(
        found["row"][order].astype(np.int64), np.searchsorted(still, np.arange(m + 1)).astype(np.int64), still, hkl, q,
        1.0 / np.maximum(np.linalg.norm(q, axis=1), 1e-9), data.values[data.best][order], data.variances[data.best][order],
        per_count[order], np.clip(partiality, 1e-3, 1.0), grouped, grouped.index, s0, np.ascontiguousarray(e1), np.ascontiguousarray(e2),
    )  # fmt: skip


def with_common_cell(experiments: Experiments) -> Experiments:
    """The experiments with crystals that have the median cell, each in its own orientation."""
    crystals = [e.known_crystal for e in experiments if e.crystal is not None]
    if not crystals:
        return experiments
    cell = np.median([c.cell for c in crystals], axis=0)
    return Experiments(
        e if e.crystal is None else replace(e, crystal=e.crystal.with_A(e.crystal.U @ _upright(cell, e.crystal)))
        for e in experiments
    )


def _upright(cell: np.ndarray, crystal: Crystal) -> np.ndarray:
    """(3, 3) float64: A of a crystal of that cell before it is turned."""
    return np.asarray(Crystal.from_cell(cell, np.eye(3), crystal.space_group).A)


def _whole(table: ReflectionTable) -> ReflectionTable:
    """The table with its row numbers, and partialities where they do not divide intensities."""
    view = table.view()
    view["row"] = np.arange(len(table), dtype=np.int32)
    if "partiality" in table:
        view["partiality_of_still"] = np.asarray(table["partiality"], dtype=np.float64)
        view["partiality"] = np.ones(len(table))
    return view.without("intensity.scale.value", "intensity.scale.variance", "inverse_scale_factor")
