"""Incomplete data sets of one structure, each of a crystal that was indexed by itself, for tests of symmetry and merging."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import gemmi
import numpy as np

from spindle.geometry import rotation_matrix
from spindle.models import Beam, Crystal, Detector, Experiment, Experiments, Goniometer, ImageSet, Panel, Scan
from spindle.symmetry import ChangeOfBasis, asu_indices, change_crystal_basis, is_centring_absent
from spindle.table import Flag, ReflectionTable

__all__ = ["DataSets", "incomplete_data_sets", "rotation_data_sets"]

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
        Space group without screw axes.
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
        Crystals are in P 1; only for primitive lattices.
    """
    group = gemmi.SpaceGroup(symbol)
    hkl = gemmi.make_miller_array(gemmi.UnitCell(*cell), gemmi.SpaceGroup("P 1"), d_min, 30.0)
    hkl = np.concatenate([hkl, -hkl]).astype(np.int32)
    hkl = hkl[~is_centring_absent(hkl, group)]
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


def rotation_data_sets(
    symbol: str, cells: Sequence[tuple[float, ...]], seed: int, ways: Sequence[str] = (), degrees: tuple[float, float] = (5.0, 20.0),
    image_width: float = 0.5, d_min: float = 3.0, noise: float = 0.03, decay: float = 0.0, damage: float = 0.0, damage_from: int = 0,
    spread: float = 0.0,
) -> DataSets:  # fmt: skip
    """Simulate what integration gives of a few degrees of rotation of each of several crystals, with everything that scaling needs.

    Parameters
    ----------
    symbol : str
        Space group of a primitive lattice, without screw axes.
    cells : sequence of 6 floats, angstrom and degrees
        Of each crystal; all have the same structure factors.
    seed : int
    ways : sequence of str
        Other indexings (new axes, such as "b,a,-c"); one of them or none is drawn for each set but the first.
    degrees : (float, float)
        Range of the rotation of each.
    image_width : float, degrees
    d_min : float, angstrom
    noise : float
        Relative error of intensities that their variances, of counting, do not know.
    decay : float, A^2
        Growth of the B factor in ten degrees.
    damage : float
        Relative change of an intensity in ten degrees, at random for each reflection, with this standard deviation.
    damage_from : int
        Image after which `damage` begins.
    spread : float
        Relative standard deviation of the edges of each cell.
    """
    from spindle.prediction import predict

    group = gemmi.SpaceGroup(symbol)
    rng = np.random.default_rng(seed)
    largest = max(cells, key=lambda c: gemmi.UnitCell(*c).volume)
    keys = gemmi.make_miller_array(
        gemmi.UnitCell(*(1.1 * v if k < 3 else v for k, v in enumerate(largest))), group, d_min, 1000.0
    )
    keys = np.unique(asu_indices(np.asarray(keys, dtype=np.int32), group)[0], axis=0)
    truth, rate = rng.exponential(1000.0, len(keys)), rng.normal(0.0, 1.0, len(keys))
    place = {tuple(h): i for i, h in enumerate(keys.tolist())}
    operators = [ChangeOfBasis.identity(), *(ChangeOfBasis.from_string(way) for way in ways)]
    panel = Panel([1, 0, 0], [0, -1, 0], [-60.0, 60.0, -120.0], [0.15, 0.15], (800, 800))
    beam, detector, goniometer = Beam([0, 0, 1], 1.0), Detector([panel]), Goniometer([1, 0, 0])
    experiments, tables, chosen = [], [], []
    for i, cell in enumerate(cells):
        chosen.append(int(rng.integers(len(operators))) if i else 0)
        n_images = max(1, round(rng.uniform(*degrees) / image_width))
        scan = Scan((1, n_images), (0.0, image_width))
        axis = rng.normal(size=3)
        turn = rotation_matrix(axis / np.linalg.norm(axis), rng.uniform(0, 3))
        own = tuple(v * (1 + spread * rng.normal()) if k in (0, 2) else v for k, v in enumerate(cell))
        own = own if cell[0] != cell[1] else (own[0], own[0], *own[2:])
        images = ImageSet(template=f"none_{i}_####.cbf", image_range=(1, n_images))
        true = Experiment(
            beam,
            detector,
            goniometer,
            scan,
            Crystal.from_cell(own, turn, group),
            imageset=images,
            identifier=f"set-{i}",
        )
        table = predict(true, i, d_min)
        number = np.array([place.get(tuple(h), -1) for h in asu_indices(table["miller_index"], group)[0].tolist()])
        table, number = table.select(number >= 0), number[number >= 0]
        n = len(table)
        hkl, z = table["miller_index"], table["xyzcal.px"][:, 2]
        d = np.asarray(gemmi.UnitCell(*own).calculate_d_array(hkl))
        turned = z * image_width / 10.0
        value = truth[number] * np.exp(-(B_FACTOR + decay * turned) / (2 * d**2))
        value *= np.maximum(
            1 + damage * rate[number] * np.maximum(np.ceil(z) - damage_from, 0) * image_width / 10.0, 0.0
        )
        scale = float(np.exp(rng.normal(0, 0.3)))
        counting = scale * (value + 20.0)
        measured = scale * value + rng.normal(0, 1, n) * np.sqrt(counting + (noise * scale * value) ** 2)
        table["d"], table["partiality"] = d, np.ones(n)
        for kind in ("sum", "prf"):
            table[f"intensity.{kind}.value"], table[f"intensity.{kind}.variance"] = measured, counting
        table["xyzobs.px.value"] = table["xyzcal.px"] + rng.normal(0, 0.05, (n, 3))
        table["xyzobs.px.variance"] = np.full((n, 3), 0.05**2)
        table["xyzobs.mm.value"] = table["xyzcal.mm"] + rng.normal(0, 1, (n, 3)) * np.array([0.0075, 0.0075, 0.0004])
        table["xyzobs.mm.variance"] = np.tile(np.array([0.0075, 0.0075, 0.0004]) ** 2, (n, 1))
        flags = (
            Flag.PREDICTED
            | Flag.INTEGRATED_SUM
            | Flag.INTEGRATED_PRF
            | Flag.INDEXED
            | Flag.STRONG
            | Flag.USED_IN_REFINEMENT
        )
        table["flags"] = np.full(n, int(flags), dtype=np.uint64)
        way = operators[chosen[-1]]
        table["miller_index"] = way.apply_to_indices(hkl)[0].astype(np.int32)
        tables.append(table)
        experiments.append(replace(true, crystal=change_crystal_basis(true.known_crystal, way, group)))
    table = ReflectionTable.concatenate(tables)
    table.identifiers = {i: f"set-{i}" for i in range(len(cells))}
    return DataSets(Experiments(experiments), table, chosen, group, tuple(cells[0]), keys, truth)


def _fall_off(cell: gemmi.UnitCell, hkl: np.ndarray) -> np.ndarray:
    d = np.asarray(cell.calculate_d_array(hkl.astype(np.int32)))
    return np.exp(-B_FACTOR / (2 * d**2))
