"""Stills of electrons, and what every indexing method that finds whole crystals must do: subclass `CrystalIndexingContract`.

>>> class TestMyMethod(CrystalIndexingContract):
...     name = "my_method"
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pytest

from spindle.contracts.indexing import CrystalCandidate, IndexingError, KnownLattice
from spindle.execution import Executor
from spindle.models import Beam, Crystal, Detector, Experiment, Experiments, Panel
from spindle.symmetry import niggli_cell, space_group
from spindle.table import Flag, ReflectionTable

from .calls import CallContract, Problem
from .data import make_context
from .indexing import random_rotation

__all__ = ["ORTHORHOMBIC", "CrystalIndexingContract", "assert_is_among", "electron_still"]


ORTHORHOMBIC = (8.1, 11.7, 15.3, 90.0, 90.0, 90.0)


def electron_still(
    seed: int = 0, cell: Sequence[float] = ORTHORHOMBIC, d_min: float = 1.2, keep: float = 0.8, jitter_px: float = 0.3
) -> tuple[Experiments, ReflectionTable, Crystal]:
    """A still of electrons of 200 kV, its spots with everything that `find_crystals` is promised, and the crystal.

    Parameters
    ----------
    seed : int
        Of orientation, choice of spots and noise.
    cell : (6,) floats, angstrom and degrees
    d_min : float, angstrom
    keep : float
        Fraction of the points near the Ewald sphere that are seen.
    jitter_px : float, pixels
        Standard deviation of the positions.
    """
    from spindle.prediction import add_observed_geometry

    rng = np.random.default_rng(seed)
    crystal = Crystal.from_cell(cell, random_rotation(seed), "P 21 21 21")
    panel = Panel(
        fast_axis=np.array([1.0, 0.0, 0.0]), slow_axis=np.array([0.0, -1.0, 0.0]), origin=np.array([-51.2, 51.2, -1500.0]),
        pixel_size=np.array([0.1, 0.1]), image_size=(1024, 1024),
    )  # fmt: skip
    still = Experiment(
        beam=Beam(direction=np.array([0.0, 0.0, 1.0]), wavelength=0.0251, probe="electron"), detector=Detector((panel,))
    )
    limit = np.floor(np.linalg.norm(crystal.real_space, axis=1) / d_min).astype(int)
    grid = np.stack(np.meshgrid(*[np.arange(-n, n + 1) for n in limit]), axis=-1).reshape(-1, 3)
    points = grid @ crystal.A.T
    length = np.linalg.norm(points, axis=1)
    ray = points + still.beam.s0
    away = np.abs(np.linalg.norm(ray, axis=1) - 1 / still.beam.wavelength)
    seen = (length > 0) & (length < 1 / d_min) & (away < 0.004) & (rng.random(len(points)) < keep)
    n = int(np.count_nonzero(seen))
    table = ReflectionTable.with_rows(n, ["id", "panel", "flags", "imageset_id"])
    table["id"] = np.full(n, -1, dtype=np.int32)
    table["flags"] = np.full(n, int(Flag.STRONG), dtype=np.uint64)
    v = ray[seen] @ still.detector.D[0].T
    xy = v[:, :2] / v[:, 2:]
    position = np.column_stack([xy / panel.pixel_size, np.full(n, 0.5)])
    position[:, :2] += rng.normal(0, jitter_px, (n, 2))
    table["xyzobs.px.value"] = position
    table["xyzobs.px.variance"] = np.full((n, 3), jitter_px**2)
    sweeps = Experiments([still])
    table = add_observed_geometry(sweeps, table, "imageset_id")
    return sweeps, table.select(rng.permutation(n)), crystal


class CrystalIndexingContract(CallContract):
    """Checks of an indexing method that finds whole crystals (``find_crystals``), on stills of electrons."""

    slot: ClassVar[str] = "indexing"
    budget_us: ClassVar[float] = 50_000.0
    rtol: ClassVar[float] = 1e-6

    def problem(self, which: int) -> Problem:
        sweeps, spots, _ = electron_still(seed=(30, 31, 32)[which], d_min=(1.2, 1.2, 1.5)[which])
        n = 60 if which < 2 else 40
        return "find_crystals", self.asked(sweeps, spots.select(np.arange(min(n, len(spots)))))

    def large_problem(self) -> tuple[Problem, int]:
        sweeps, spots, _ = electron_still(seed=33, d_min=0.9)
        return ("find_crystals", self.asked(sweeps, spots)), len(spots)

    def asked(
        self,
        sweeps: Experiments,
        spots: ReflectionTable,
        cell: Sequence[float] | None = ORTHORHOMBIC,
        n_workers: int = 1,
    ) -> dict[str, Any]:
        """Arguments of the hook."""
        known = None
        if cell is not None:
            known = KnownLattice(space_group("P 21 21 21").hall, np.array(cell), niggli_cell(cell))
        executor = Executor(None, n_workers)
        if n_workers > 1:
            executor = Executor(make_context().algorithm("executor", "threads"), n_workers)
        return {"sweeps": sweeps, "spots": spots, "known": known, "executor": executor}

    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_finds_the_crystal_of_a_still(self, plugin: Any, seed: int) -> None:
        sweeps, spots, crystal = electron_still(seed=seed)
        assert_is_among(plugin.find_crystals(**self.asked(sweeps, spots)), crystal)

    def test_the_order_of_spots_does_not_matter(self, plugin: Any) -> None:
        sweeps, spots, crystal = electron_still(seed=4)
        for seed in (1, 2):
            rows = np.random.default_rng(seed).permutation(len(spots))
            assert_is_among(plugin.find_crystals(**self.asked(sweeps, spots.select(rows))), crystal)

    def test_the_most_trustworthy_comes_first(self, plugin: Any) -> None:
        sweeps, spots, _ = electron_still(seed=5)
        found = plugin.find_crystals(**self.asked(sweeps, spots))
        assert found
        assert np.all(np.diff([candidate.weight for candidate in found]) <= 0)

    def test_without_a_known_cell_it_works_or_says_so(self, plugin: Any) -> None:
        sweeps, spots, crystal = electron_still(seed=6)
        with contextlib.suppress(IndexingError):
            assert_is_among(plugin.find_crystals(**self.asked(sweeps, spots, None)), crystal)

    def test_same_result_for_any_number_of_workers(self, plugin: Any) -> None:
        sweeps, spots, _ = electron_still(seed=7)
        one, two = (plugin.find_crystals(**self.asked(sweeps, spots, n_workers=n)) for n in (1, 2))
        assert [c.weight for c in one] == [c.weight for c in two]
        for a, b in zip(one, two, strict=True):
            np.testing.assert_array_equal(a.A, b.A)

    @pytest.mark.parametrize("n", [0, 1, 2, 3])
    def test_hardly_any_spots_are_no_crystal(self, plugin: Any, n: int) -> None:
        sweeps, spots, _ = electron_still(seed=8)
        with contextlib.suppress(IndexingError):  # an error that says so is as good as no crystals
            assert isinstance(plugin.find_crystals(**self.asked(sweeps, spots.select(np.arange(n)))), list)


def assert_is_among(
    found: Sequence[CrystalCandidate], crystal: Crystal, tolerance: float = 0.15, first: int = 20
) -> None:
    """One of the first crystals has the lattice of the true one.

    Parameters
    ----------
    found : sequence of CrystalCandidate
    crystal : Crystal
        Of a primitive cell.
    tolerance
        Largest deviation of its vectors from whole-number combinations.
    first
        How many are looked at: a still of electrons is all but flat, and orientations that mirror each other hardly differ.
    """
    for candidate in found[:first]:
        combination = crystal.real_space @ candidate.A
        whole = np.rint(combination)
        if np.abs(combination - whole).max() < tolerance and abs(round(np.linalg.det(whole))) == 1:
            return
    raise AssertionError(f"none of the first {first} of {len(found)} crystals has the true lattice")
