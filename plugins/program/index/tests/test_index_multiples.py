"""Cells that are some times too large or too small, told from superstructures and from harmonics of the beam."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from spindle_program_index.harmonics import is_harmonic
from spindle_program_index.indexed import Indexed
from spindle_program_index.multiples import right_cell
from spindle_program_index.params import IndexParams
from spindle_program_index.preparation import prepare
from spindle_program_index.superlattices import sublattice_matrices
from spindle_program_index.verification import _multiple_text

import spindle
from spindle.models import Crystal, Experiments
from spindle.symmetry import niggli_cell, niggli_reduce
from spindle.table import ReflectionTable
from spindle.testing.indexing import rotation_experiment, spots_of, without_crystals

CELLS = [
    (21.2, 27.5, 34.1, 81.0, 77.0, 68.0),
    (38.0, 38.0, 61.0, 90.0, 90.0, 120.0),
    (45.0, 45.0, 45.0, 90.0, 90.0, 90.0),
]


def of_volume(fold, number, seed):
    """A sweep with a crystal of `fold` times the volume of another one, that one, and indices in it of indices in the larger cell."""
    base = rotation_experiment(CELLS[seed % len(CELLS)], seed=seed, n_images=40)
    matrix = sublattice_matrices(fold)[number % len(sublattice_matrices(fold))]
    large = Crystal(A=np.linalg.inv(niggli_reduce(matrix @ base.crystal.real_space)[0]))
    to_small = np.linalg.solve(base.crystal.A, large.A)
    return replace(base, crystal=large), base.crystal, lambda hkl: hkl @ to_small.T


def with_noise(table, part, n_images, seed):
    """More spots anywhere, as a part of those there are."""
    rng = np.random.default_rng(seed)
    other = table.select(rng.integers(0, len(table), int(part * len(table))))
    other["xyzobs.px.value"] = rng.uniform(0, 1, (len(other), 3)) * (1000, 1000, n_images)
    return ReflectionTable.concatenate([table, other])


def cell_for(sweep, spots, crystal, known=None):
    params = IndexParams().indexing
    given = without_crystals([sweep])
    return right_cell(given, prepare(spots, given, params), [crystal], 0, known, params)


FOLDS = [(2, 0), (2, 3), (2, 6), (3, 1), (3, 8), (5, 4), (5, 21)]


@pytest.mark.parametrize(("fold", "number"), FOLDS)
def test_weak_satellites_keep_the_cell_of_the_superstructure(fold, number):
    """One of twenty spots is a satellite, a fifth of the spots are of something else."""
    sweep, small, in_small = of_volume(fold, number, seed=number)
    spots = spots_of([sweep], d_min=2.8, keep=0.6, seed=1)
    index = in_small(spots["true_index"])
    main = np.abs(index - np.rint(index)).max(axis=1) < 1e-6
    few = np.random.default_rng(2).permutation(np.flatnonzero(~main))[: int(0.05 * main.sum())]
    spots = with_noise(spots.select(np.sort(np.concatenate([np.flatnonzero(main), few]))), 0.25, 40, seed=3)
    found = cell_for(sweep, spots, small)
    assert found is not None
    assert found.harmonic == 0
    np.testing.assert_allclose(
        niggli_cell(Crystal(A=found.A).cell), niggli_cell(sweep.crystal.cell), rtol=1e-6, atol=1e-6
    )
    assert found.n_spots == pytest.approx(len(few), rel=0.25)
    assert cell_for(sweep, spots, Crystal(A=found.A)) is None  # and it stays


@pytest.mark.parametrize(("fold", "number"), FOLDS)
def test_points_without_spots_are_left_out(fold, number):
    """The larger cell gives none but spots by chance an index, however many these are."""
    sweep, small, _ = of_volume(fold, number, seed=number)
    spots = with_noise(spots_of([replace(sweep, crystal=small)], d_min=2.8, keep=0.6, seed=1), 0.8, 40, seed=3)
    assert cell_for(sweep, spots, small) is None
    found = cell_for(sweep, spots, sweep.crystal)
    assert found is not None
    np.testing.assert_allclose(niggli_cell(Crystal(A=found.A).cell), niggli_cell(small.cell), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("seed", [1, 2])
def test_two_lattices_say_nothing_of_each_others_cells(seed):
    one = rotation_experiment(CELLS[seed], seed=seed, n_images=40)
    two = replace(one, crystal=one.crystal.with_A(rotation_experiment(CELLS[seed], seed=seed + 7).crystal.A))
    spots = spots_of([one, two], d_min=2.8, keep=0.5, seed=seed)
    params, given = IndexParams().indexing, without_crystals([one])
    table = prepare(spots, given, params)
    for crystals in ([one.crystal], [one.crystal, two.crystal]):
        assert right_cell(given, table, crystals, 0, None, params) is None


def of_harmonic(number, seed, is_one):
    """Spots of a crystal and of a part of the wavelength, as strong as the same reflections; or as any others."""
    sweep = rotation_experiment((9.2, 11.5, 14.1, 81.0, 77.0, 68.0), seed=seed, n_images=120, distance=90.0)
    crystal = sweep.crystal
    larger = replace(sweep, crystal=Crystal(A=crystal.A / number))
    spots = spots_of([larger], d_min=1.3, keep=1.0, seed=seed)
    hkl = spots["true_index"]
    rng = np.random.default_rng(seed)
    strength: dict[tuple[int, ...], float] = {}

    def intensity(index):
        return strength.setdefault(max(index, tuple(-v for v in index)), rng.exponential())

    main = np.all(hkl % number == 0, axis=1)
    values = np.array([
        intensity(tuple((h // number).tolist() if m else h.tolist() if is_one else (h + 500).tolist())) * (1.0 if m else 0.05)
        for h, m in zip(hkl, main, strict=True)
    ])  # fmt: skip
    d_star = np.linalg.norm(hkl @ larger.crystal.A.T, axis=1) * np.where(main, 1, number)
    values *= np.exp(-4.0 * d_star**2)
    spots["intensity.sum.value"] = values * rng.normal(1.0, 0.1, len(values)) * 1000
    return sweep, spots.select(np.flatnonzero(values > 0.015)), crystal


@pytest.mark.parametrize(("number", "seed"), [(2, 1), (3, 2)])
def test_a_harmonic_of_the_beam_is_no_superstructure(number, seed):
    sweep, spots, small = of_harmonic(number, seed, is_one=True)
    found = cell_for(sweep, spots, small)
    assert (found.harmonic, found.fold) == (number, 1.0)
    found = cell_for(sweep, spots, Crystal(A=small.A / number))
    assert found.harmonic == number
    np.testing.assert_allclose(niggli_cell(Crystal(A=found.A).cell), niggli_cell(small.cell), rtol=1e-6)
    sweep, spots, small = of_harmonic(number, seed, is_one=False)
    found = cell_for(sweep, spots, small)
    assert (found.harmonic, round(found.fold)) == (0, number**3)


def test_harmonics_are_told_by_intensities_alone():
    rng = np.random.default_rng(1)
    hkl = rng.permutation(np.array(np.meshgrid(*[range(-8, 9)] * 2, range(1, 9))).reshape(3, -1).T)[:400]
    strong = rng.exponential(size=400)
    d_star = np.linalg.norm(hkl, axis=1) / 30
    assert is_harmonic(hkl[:60], 0.1 * strong[:60] * rng.normal(1, 0.2, 60), hkl, strong, d_star[:60])
    assert not is_harmonic(hkl[:60], rng.exponential(size=60), hkl, strong, d_star[:60])
    assert not is_harmonic(hkl[:10], strong[:10], hkl, strong, d_star[:10])  # too few
    ratios = 0.1 * rng.normal(1, 0.1, 10)
    assert is_harmonic(hkl[:10], strong[:10] * ratios, hkl, strong, d_star[:10], is_told=True)
    assert not is_harmonic(hkl[:10], rng.exponential(size=10), hkl, strong, d_star[:10], is_told=True)
    fading = strong * np.exp(-60 * d_star**2)  # what both have in common tells nothing
    other = rng.exponential(size=60) * np.exp(-60 * d_star[:60] ** 2)
    assert not is_harmonic(hkl[:60], other, hkl, fading, d_star[:60])


@pytest.mark.parametrize(("group", "told"), [("F 2 2 2", False), ("F 41 3 2", False), ("P 1", True)])
def test_even_indices_of_a_centred_cell_are_not_those_of_a_smaller_one(group, told):
    sweep = rotation_experiment((45.0, 45.0, 45.0, 90.0, 90.0, 90.0), group, seed=1, n_images=40)
    hkl = np.array(np.meshgrid(*[range(-6, 7)] * 3)).reshape(3, -1).T
    hkl = hkl[np.all(hkl % 2 == 0, axis=1) | np.all(hkl % 2 == 1, axis=1)]
    table = ReflectionTable.with_rows(len(hkl), ["id", "miller_index"])
    table["id"], table["miller_index"] = np.zeros(len(hkl), np.int32), hkl.astype(np.int32)
    part = Indexed(Experiments([sweep]), table, without_crystals([sweep]), None, 60.0)
    assert ("multiples of 2" in _multiple_text(part)) == told


def test_index_gives_a_crystal_its_satellites_and_no_more():
    """One of thirty spots is a satellite: with them the cell is doubled, without them it is not."""
    sweep, small, in_small = of_volume(2, 3, seed=0)
    spots = spots_of([sweep], d_min=2.8, keep=0.6, seed=4)
    index = in_small(spots["true_index"])
    main = np.abs(index - np.rint(index)).max(axis=1) < 1e-6
    few = np.flatnonzero(~main)[: int(main.sum() / 30)]
    given = without_crystals([sweep])
    result = spindle.run("index", given, spots.select(np.sort(np.concatenate([np.flatnonzero(main), few]))))
    np.testing.assert_allclose(niggli_cell(result.summary["unit_cell"]), niggli_cell(sweep.crystal.cell), rtol=3e-3)
    assert result.summary["fraction_indexed"] > 0.97
    result = spindle.run("index", given, spots.select(np.flatnonzero(main)))
    np.testing.assert_allclose(niggli_cell(result.summary["unit_cell"]), niggli_cell(small.cell), rtol=3e-3)
