"""Pieces of the work of scale: the same results from any number of workers, and the same numbers as whole arrays give."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from spindle_program_scale import pieces, sums
from spindle_program_scale.data import Observations, usable_kinds
from spindle_program_scale.odd_images import _medians, _middles

import spindle
from spindle.models import Experiments
from spindle.table import Flag, ReflectionTable
from spindle.testing.scaling import simulated_scan
from spindle_lib_merging import Groups


@pytest.mark.parametrize("sizes", [[], [0], [5], [3, 0, 4], [200_000], [10, 70_000, 65_536, 1], [30_000] * 5])
def test_pieces_hold_every_row_once(sizes: list[int]) -> None:
    rows = [row for piece in pieces.pieces_of(sizes) for row in piece]
    for k, n in enumerate(sizes):
        parts = [(first, last) for number, first, last in rows if number == k]
        assert [i for first, last in parts for i in range(first, last)] == list(range(n))
    assert all(sum(last - first for _, first, last in piece) <= pieces.PIECE for piece in pieces.pieces_of(sizes))
    assert [k for bundle in pieces.bundles_of(sizes) for k in bundle] == list(range(len(sizes)))


def test_slices_hold_every_row_once() -> None:
    for n in (0, 1, pieces.PIECE, 3 * pieces.PIECE + 1):
        assert np.array_equal(np.concatenate([np.arange(n)[part] for part in pieces.slices_of(n)]), np.arange(n))


@pytest.mark.parametrize("n", [0, 1, 2, 9])
def test_medians_of_neighbours_are_those_of_numpy(n: int) -> None:
    scale = np.random.default_rng(n).normal(1.0, 0.1, n)
    if n > 4:
        scale[3] = np.nan
    for i, found in enumerate(_medians(scale)):
        near = [scale[j] for j in range(max(0, i - 3), min(n, i + 4)) if j != i and np.isfinite(scale[j])]
        assert np.array_equal(found, np.median(near) if near else np.nan, equal_nan=True)


def test_medians_of_runs_are_those_of_numpy() -> None:
    values, sizes = np.random.default_rng(1).normal(size=12), np.array([1, 4, 7])
    starts = np.array([0, 1, 5])
    parts = [values[a : a + n] for a, n in zip(starts, sizes, strict=True)]
    assert _middles(values, starts, sizes) == pytest.approx([np.median(p) for p in parts], abs=0)


def test_workers_change_no_bit_of_several_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "PIECE", 700)
    monkeypatch.setattr(sums, "BLOCK", 900)
    scans = [simulated_scan(300, n_images=20, scale=lambda z, d, k=k: np.full(len(z), 1.0 + k)) for k in range(3)]
    experiments = Experiments(replace(scan[0], identifier=f"set {k}") for k, scan in enumerate(scans))
    tables = []
    for k, scan in enumerate(scans):
        table = scan[1].view()
        table["id"] = np.full(len(table), k, np.int32)
        table.identifiers = {}
        tables.append(table)
    table = ReflectionTable.concatenate(tables)
    results = [
        spindle.run("scale", experiments, table, **{"mp.method": method, "mp.nproc": n})
        for method, n in (("serial", 1), ("threads", 3), ("processes", 2))
    ]
    first = results[0].reflections
    for other in results[1:]:
        assert all(np.array_equal(first[name], other.reflections[name], equal_nan=True) for name in first)


@pytest.mark.parametrize("others_only", [False, True])
def test_expected_intensities_are_those_of_whole_arrays(monkeypatch: pytest.MonkeyPatch, others_only: bool) -> None:
    monkeypatch.setattr(sums, "BLOCK", 50)
    rng = np.random.default_rng(3)
    index, n = rng.integers(0, 90, 300), 300
    order = np.argsort(index, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(index, minlength=90))])
    nothing = np.zeros(0)
    groups = Groups(order, offsets, np.zeros((90, 3), np.int32), np.ones(n, bool), np.zeros(90, bool), np.ones(90))
    value, variance, g = rng.normal(100.0, 10.0, n), rng.uniform(1.0, 9.0, n), rng.uniform(0.5, 2.0, n)
    obs = Observations(
        np.arange(n), np.zeros(n, np.int64), np.array([0, n]), nothing, nothing, nothing, nothing, nothing, nothing,
        nothing, nothing, nothing, value, variance, groups, rng.random(n) < 0.2, g,
    )  # fmt: skip
    found = pieces.expected_intensities(obs, variance, map, others_only=others_only)
    for i in range(n):
        use = (index == index[i]) & ~obs.outlier
        use[i] &= not others_only
        if use.any():
            assert found[i] == pytest.approx(g[i] * (g * value / variance)[use].sum() / (g**2 / variance)[use].sum())
        else:
            assert np.isnan(found[i]) if others_only else found[i] == value[i]


@pytest.mark.parametrize("column", ["lp", "qe", "partiality"])
@pytest.mark.parametrize("value", [1e300, 1e-300])
def test_sums_with_corrections_that_nothing_has_are_left_out(column, value):
    _, table, _ = simulated_scan(n_unique=20, multiplicity=3, seed=5)
    flags = table["flags"].astype(np.uint64) | np.uint64(int(Flag.INTEGRATED_SUM))
    table[column] = np.where(np.arange(len(table)) == 4, value, 0.9)
    _, has_sum = usable_kinds(table, flags)
    assert np.flatnonzero(~has_sum).tolist() == [4]
