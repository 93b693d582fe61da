"""Scaling of so many data sets that their normal matrix is not made."""

from __future__ import annotations

import tracemalloc
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from spindle_program_scale import layout, normal_matrices, solver, sums
from spindle_program_scale.derivatives import Derivatives, FitData
from spindle_program_scale.layout import Layout
from spindle_program_scale.normal_matrices import Blocks
from spindle_program_scale.solver import fit_scales, fit_scales_lbfgs
from spindle_program_scale.sums import BlockEquations, NormalEquations, NormalProduct

from spindle.contracts.scaling import Penalty, ScaleTerm, ScalingModel


def many_sets(n_sets=6, n=200, m=90, seed=2, fixed_set=None, shared=False):
    """A scale and a B factor for each data set, and a term that all may share; observations of m reflections."""
    rng = np.random.default_rng(seed)
    true_g, models, place, g = np.exp(rng.normal(0, 0.2, n_sets)), [], [], []
    for k in range(n_sets):
        x, one = rng.uniform(-0.3, 0.3, n), np.zeros((1, 1), np.int32)
        terms = [
            ScaleTerm("scale", np.ones(1), one, np.ones((n, 1)), fixed=k == fixed_set),
            ScaleTerm("decay", np.zeros(1), one, np.ones((n, 1)), 0.0, 0.0, x, (Penalty(np.eye(1), 0.1, rank=1),)),
            ScaleTerm(
                "absorption", np.zeros(2), np.arange(2, dtype=np.int32)[None], rng.normal(0, 0.1, (n, 2)), 0.0, 1.0
            ),
        ]
        models.append(ScalingModel("test", tuple(terms), {}, ("absorption",) if shared else ()))
        place.append(rng.integers(0, m, n))
        g.append(np.full(n, true_g[k]) * np.exp(0.4 * x))
    group, g = np.concatenate(place), np.concatenate(g)
    order = np.argsort(group, kind="stable")
    where = np.empty(n_sets * n, np.int64)
    where[order] = np.arange(n_sets * n)
    offsets = np.searchsorted(group[order], np.arange(m + 1))
    true = rng.exponential(100.0, m)[group] * g
    sigma = np.sqrt(true + 5.0)
    intensity = (true + rng.normal(size=len(true)) * sigma)[order]
    rows = [np.argsort(part) for part in np.split(where, n_sets)]
    places = [part[some] for part, some in zip(np.split(where, n_sets), rows, strict=True)]
    data = FitData(offsets, intensity, (sigma**-2)[order], places, rows)
    return Layout(models), data


def both_ways(monkeypatch, fit):
    whole = fit()
    monkeypatch.setattr(solver, "MOST_WHOLE", 0)
    monkeypatch.setattr(solver, "NormalEquations", None)
    return whole, fit()


@pytest.mark.parametrize("options", [{}, {"fixed_set": 3}, {"shared": True}])
@pytest.mark.parametrize("damping", [0.0, 1e-3])
def test_fits_without_the_matrix_find_the_same_parameters(monkeypatch, options, damping):
    def fit():
        layout, data = many_sets(**options)
        return fit_scales(layout, data, layout.start, tolerance=1e-12, damping=damping, adapt=False)

    whole, blocks = both_ways(monkeypatch, fit)
    assert len(whole.history) > 3 and abs(whole.parameters - fit_start()).max() > 0.1
    np.testing.assert_allclose(blocks.parameters, whole.parameters, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(blocks.variance_factor, whole.variance_factor, rtol=1e-5)
    ratio = blocks.inverse.diagonal[:2] / whole.inverse.diagonal[:2]
    assert ratio.min() > 0.6 and ratio.max() < 1.4  # six sets: each other is a sixth of what a set is compared with


def fit_start():
    return many_sets()[0].start[0]


def test_one_data_set_has_the_exact_covariance(monkeypatch):
    def fit():
        layout, data = many_sets(1, 900)
        return fit_scales(layout, data, layout.start, adapt=False)

    whole, blocks = both_ways(monkeypatch, fit)
    np.testing.assert_allclose(
        blocks.inverse.block(slice(0, 4)), whole.inverse.block(slice(0, 4)), rtol=1e-3, atol=1e-12
    )
    columns, slopes = np.array([[0, 1, -1], [2, 3, 1]], np.int32), np.array([[1.0, 2.0, 9.0], [0.5, -1.0, 3.0]])
    forms = np.zeros((2, 2))
    for fit, out in zip((whole, blocks), forms, strict=True):
        fit.inverse.forms(columns, slopes, out)
    np.testing.assert_allclose(forms[1], forms[0], rtol=1e-3)


def test_lbfgs_finds_them_too(monkeypatch):
    def fit():
        layout, data = many_sets()
        return fit_scales_lbfgs(layout, data, layout.start, tolerance=1e-8)

    whole, blocks = both_ways(monkeypatch, fit)
    np.testing.assert_allclose(blocks.parameters, whole.parameters, atol=1e-4)


def test_blocks_and_product_are_those_of_the_matrix(monkeypatch):
    rng = np.random.default_rng(7)
    m, p = 400, 12
    offsets = np.concatenate([[0], np.cumsum(rng.integers(0, 9, m))])
    n = int(offsets[-1])
    columns = np.argsort(rng.random((n, p)), axis=1)[:, :4].astype(np.int32)
    columns[rng.random(n) < 0.3, 2] = -1
    observed = (offsets, rng.gamma(1.0, 50.0, n), rng.uniform(0.1, 1.0, n), rng.uniform(0.5, 2.0, n), columns,
                rng.normal(size=(n, 4)), rng.normal(size=(n, 2)))  # fmt: skip
    edges = np.array([0, 3, 3, 8, 12])
    half, right, directions, chi_square = NormalEquations(
        *observed[:4], lambda a, b: (columns[a:b], observed[5][a:b]), observed[6], p
    ).total(map)
    matrix = half + half.T - np.diag(np.diag(half))
    monkeypatch.setattr(sums, "BLOCK", 300)
    blocks, *others, means = BlockEquations(*observed, edges).total(map)
    for found, expected in zip(others, (right, directions, chi_square), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    product = NormalProduct(offsets, *observed[2:4], means, *observed[4:6], p)
    x = rng.normal(size=p)
    full = np.array([product.total(unit, map) for unit in np.eye(p)])
    np.testing.assert_allclose(product.total(x, map), full @ x, rtol=1e-9, atol=1e-9 * np.abs(full).max())
    np.testing.assert_allclose(full, matrix, atol=1e-9 * np.abs(full).max())
    for k in range(4):
        inside = slice(edges[k], edges[k + 1])
        np.testing.assert_allclose(blocks.number(k), full[inside, inside], atol=1e-9 * np.abs(full).max())
    with ThreadPoolExecutor(3) as pool:
        np.testing.assert_array_equal(product.total(x, pool.map), product.total(x, map))


@pytest.mark.parametrize("at_once", [1, 256])
def test_blocks_are_inverted_multiplied_and_lessened(monkeypatch, at_once):
    monkeypatch.setattr(normal_matrices, "BLOCKS_AT_ONCE", at_once)
    rng = np.random.default_rng(3)
    edges = np.array([0, 2, 5, 5, 7])
    blocks = Blocks(edges)
    whole = np.zeros((7, 7))
    for k in range(4):
        size = edges[k + 1] - edges[k]
        some = rng.normal(size=(size, size + 2)) * 10.0**k
        blocks.number(k)[:] = some @ some.T
        whole[edges[k] : edges[k + 1], edges[k] : edges[k + 1]] = some @ some.T
    x = rng.normal(size=7)
    np.testing.assert_allclose(blocks.times(x), whole @ x)
    np.testing.assert_allclose(blocks.inverted().times(whole @ x), x, rtol=1e-8)
    np.testing.assert_array_equal(blocks.diagonal, np.diag(whole))
    vectors = rng.normal(size=(7, 2))
    less = blocks.less(vectors, np.eye(2))
    np.testing.assert_allclose(less.block(slice(3, 5)), (whole - vectors @ vectors.T)[3:5, 3:5])
    blocks.number(1)[:] = np.ones((3, 3))  # of rank one: what is not determined counts as not there
    np.testing.assert_allclose(blocks.inverted().number(1), np.ones((3, 3)) / 9.0, atol=1e-12)


def test_memory_grows_with_the_data_sets_not_with_their_square(monkeypatch):
    """Of 500 sets with 4 parameters the matrix alone would take 32 MB."""
    monkeypatch.setattr(solver, "MOST_WHOLE", 1000)
    layout, data = many_sets(500, 10, 300)
    tracemalloc.start()
    fit = fit_scales(layout, data, layout.start, max_iterations=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert layout.n_parameters == 2000 and len(fit.history) > 1
    assert peak < 8e6, peak


@pytest.mark.parametrize("damping", [0.0, 1e-3])
def test_derivatives_of_a_step_are_gone_before_those_of_the_next_are_made(monkeypatch, damping):
    """They are most of what a fit of many data sets holds."""
    monkeypatch.setattr(solver, "MOST_WHOLE", 0)
    made: list[weakref.ref[np.ndarray]] = []
    alive, of_all = [], Derivatives.all

    def watched(self, run):
        alive.append(sum(array() is not None for array in made))
        found = of_all(self, run)
        made.extend(weakref.ref(array) for array in found)
        return found

    monkeypatch.setattr(Derivatives, "all", watched)
    layout, data = many_sets()
    fit_scales(layout, data, layout.start, damping=damping)
    assert len(alive) > 2 and not any(alive)


def test_derivatives_are_those_of_a_block_alone(monkeypatch):
    """Columns and slopes of all observations of a fit would be several times the size of their table."""
    asked = []
    call = Derivatives.__call__
    monkeypatch.setattr(Derivatives, "__call__", lambda self, a, b: (asked.append(b - a), call(self, a, b))[1])
    fits = []
    for block, kept, rows in ((10**6, 10**9, 10**6), (200, 0, 70)):
        monkeypatch.setattr(sums, "BLOCK", block)
        monkeypatch.setattr(layout, "KEPT", kept)
        monkeypatch.setattr(layout, "ROWS", rows)
        asked.clear()
        some, data = many_sets(3, 300, 200)
        fits.append(fit_scales(some, data, some.start))
        assert (max(asked) == 900) == (block == 10**6) and max(asked) < 1.3 * block
    np.testing.assert_allclose(fits[1].parameters, fits[0].parameters, rtol=1e-10, atol=1e-12)
