"""Sums of scaling, block by block."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from spindle_program_scale import sums
from spindle_program_scale.sums import ChiSquare, NormalEquations, blocks_of


def problem(m=3000, p=7, seed=5):
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(rng.integers(0, 9, m))])
    n = int(offsets[-1])
    true = np.repeat(rng.exponential(100.0, m), np.diff(offsets))
    scale, weight = rng.uniform(0.5, 2.0, n), rng.uniform(0.1, 1.0, n)
    columns = rng.integers(-1, p, (n, 3)).astype(np.int32)
    slopes = rng.normal(size=(n, 3))
    return NormalEquations(
        offsets, scale * true + rng.normal(size=n), weight, scale, lambda a, b: (columns[a:b], slopes[a:b]),
        np.full((n, 1), 1.0 / n), p,
    )  # fmt: skip


@pytest.mark.parametrize("n_parameters", [0, 50])
def test_blocks_hold_every_reflection_once_and_as_many_observations(monkeypatch, n_parameters):
    monkeypatch.setattr(sums, "BLOCK", 1000)
    offsets = problem().offsets
    blocks = blocks_of(offsets, n_parameters)
    assert len(blocks) == offsets[-1] // 1000 > 5
    assert [b for a, b in blocks[:-1]] == [a for a, b in blocks[1:]]
    assert (blocks[0][0], blocks[-1][1]) == (0, 3000)
    sizes = [offsets[b] - offsets[a] for a, b in blocks]
    assert min(sizes) > 0.9 * np.mean(sizes)


def test_large_matrices_are_not_made_many_times():
    offsets = np.arange(0, 50_000_000, 1000)
    assert len(blocks_of(offsets, 100)) == 1562
    assert len(blocks_of(offsets, 3000)) == 5
    assert len(blocks_of(offsets, 20_000)) == 1
    assert blocks_of(np.array([0])) == [] or blocks_of(np.array([0, 0])) == [(0, 1)]


def test_the_sum_of_blocks_is_that_of_all_and_the_same_for_any_number_of_threads(monkeypatch):
    task = problem()
    whole = task.total(map)
    chi = ChiSquare(task.offsets, task.intensity, task.weight, task.scale)
    monkeypatch.setattr(sums, "BLOCK", 700)
    one = task.total(map)
    for a, b in zip(whole, one, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-9 * np.abs(a).max())
    assert chi.total(map) == pytest.approx(whole[3], rel=1e-12)
    for workers in (2, 5):
        with ThreadPoolExecutor(workers) as pool:
            for a, b in zip(one, task.total(pool.map), strict=True):
                np.testing.assert_array_equal(a, b)
