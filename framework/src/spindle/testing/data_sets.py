"""Incomplete data sets of one structure, each of a crystal that was indexed by itself, for tests of symmetry and merging."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import gemmi
import numpy as np

from spindle.geometry import rotation_matrix
from spindle.models import Beam, Crystal, Detector, Experiment, Experiments, Goniometer, ImageSet, Panel, Scan
from spindle.symmetry import ChangeOfBasis, asu_indices
from spindle.table import Flag, ReflectionTable

__all__ = ["DataSets", "incomplete_data_sets"]

B_FACTOR = 30.0


@dataclass(slots=True)
class DataSets:
    """Data sets and what is true of them.

    Attributes
    ----------
    experiments : Experiments
    table : ReflectionTable
        Summed intensities.
    chosen : list of int
        Which of the ways each set was indexed in; 0 for the true one.
    group : gemmi.SpaceGroup
    cell : (6,) floats
    hkl : (n, 3) int32
        Unique reflections.
    intensity : (n,) float64
        Their true intensities, without the fall-off with resolution.
    """

    experiments: Experiments
    table: ReflectionTable
    chosen: list[int]
    group: gemmi.SpaceGroup
    cell: tuple[float, ...]
    hkl: np.ndarray
    intensity: np.ndarray

    def correlations(self, table: ReflectionTable, ways: Sequence[str]) -> np.ndarray:
        """(n_sets,) float64: correlation of each set with the true intensities.

        All are reindexed by one of `ways` (new axes), which is taken for the true one: that under which they agree best.
        """
        lookup = {tuple(h): v for h, v in zip(self.hkl.tolist(), self.intensity, strict=True)}
        cell, found = gemmi.UnitCell(*self.cell), []
        for way in ways:
            hkl, _ = ChangeOfBasis.from_string(way).apply_to_indices(table["miller_index"])
            expected = np.array([lookup.get(tuple(h), np.nan) for h in asu_indices(hkl, self.group)[0].tolist()])
            expected *= _fall_off(cell, hkl)
            value, ids = table["intensity.sum.value"], table["id"]
            known = [np.flatnonzero((ids == i) & np.isfinite(expected)) for i in range(int(ids.max()) + 1)]
            found.append(np.array([np.corrcoef(value[rows], expected[rows])[0, 1] for rows in known]))
        return max(found, key=lambda cc: float(np.sum(cc)))


def incomplete_data_sets(
    symbol: str, cell: tuple[float, ...], n_sets: int, seed: int, ways: Sequence[str] = (), share: float = 0.25,
    d_min: float = 4.5, noise: float = 0.1, triclinic: bool = False,
) -> DataSets:  # fmt: skip
    """Simulate slabs of reciprocal space, as a few degrees of rotation record them.

    Parameters
    ----------
    symbol : str
        Space group of a primitive lattice, without screw axes.
    cell : 6 floats, angstrom and degrees
    n_sets, seed : int
    ways : sequence of str
        Other indexings (new axes, such as "b,a,-c"); one of them or none is drawn for each set but the first.
    share : float
        Fraction of all reflections in each set.
    d_min : float, angstrom
    noise : float
        Relative error of intensities.
    triclinic : bool
        Crystals are in P 1.
    """
    group = gemmi.SpaceGroup(symbol)
    hkl = gemmi.make_miller_array(gemmi.UnitCell(*cell), gemmi.SpaceGroup("P 1"), d_min, 30.0)
    hkl = np.concatenate([hkl, -hkl]).astype(np.int32)
    keys, number = np.unique(asu_indices(hkl, group)[0], axis=0, return_inverse=True)
    rng = np.random.default_rng(seed)
    truth = rng.exponential(1000.0, len(keys))
    d = np.asarray(gemmi.UnitCell(*cell).calculate_d_array(hkl))
    value = truth[number.ravel()] * _fall_off(gemmi.UnitCell(*cell), hkl)
    operators = [ChangeOfBasis.identity(), *(ChangeOfBasis.from_string(way) for way in ways)]
    panel = Panel([1, 0, 0], [0, -1, 0], [-40.0, 40.0, -100.0], [0.1, 0.1], (800, 800))
    experiments, tables, chosen = [], [], []
    for i in range(n_sets):
        chosen.append(int(rng.integers(len(operators))) if i else 0)
        axis, normal = rng.normal(size=(2, 3))
        turn = rotation_matrix(axis / np.linalg.norm(axis), rng.uniform(0, 3))
        crystal = Crystal.from_cell(cell, turn, "P 1" if triclinic else group)
        height = np.abs((hkl @ np.linalg.inv(crystal.real_space).T) @ (normal / np.linalg.norm(normal)))
        rows = np.flatnonzero(height < np.quantile(height, share))
        n = len(rows)
        scale = np.exp(rng.normal(0, 0.3))
        sigma = scale * (noise * value[rows] + 3.0)
        tables.append(
            ReflectionTable({
                "miller_index": operators[chosen[-1]].apply_to_indices(hkl[rows])[0], "id": np.full(n, i), "d": d[rows],
                "flags": np.full(n, int(Flag.INTEGRATED_SUM)), "partiality": np.ones(n),
                "intensity.sum.value": scale * value[rows] + rng.normal(0, sigma), "intensity.sum.variance": sigma**2,
                "xyzcal.mm": np.zeros((n, 3)), "xyzcal.px": np.zeros((n, 3)),
            })
        )  # fmt: skip
        experiments.append(
            Experiment(
                Beam([0, 0, 1], 1.0), Detector([panel]), Goniometer([1, 0, 0]), Scan((1, 10), (0.0, 1.0)), crystal,
                imageset=ImageSet(template=f"none_{i}_####.cbf", image_range=(1, 10)), identifier=f"set-{i}",
            )
        )  # fmt: skip
    table = ReflectionTable.concatenate(tables)
    table.identifiers = {i: f"set-{i}" for i in range(n_sets)}
    return DataSets(Experiments(experiments), table, chosen, group, cell, keys, truth)


def _fall_off(cell: gemmi.UnitCell, hkl: np.ndarray) -> np.ndarray:
    d = np.asarray(cell.calculate_d_array(hkl.astype(np.int32)))
    return np.exp(-B_FACTOR / (2 * d**2))
