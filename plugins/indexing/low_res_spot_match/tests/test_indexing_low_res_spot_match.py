"""Spots of low resolution are matched with the lattice points of a known cell."""

from __future__ import annotations

import numpy as np
import pytest
from spindle_indexing_low_res_spot_match import LowResSpotMatchIndexing
from spindle_indexing_low_res_spot_match.orientation import rotations
from spindle_indexing_low_res_spot_match.spots import candidate_spots, indices_within

import spindle
from spindle.contracts.indexing import IndexingError
from spindle.models import Experiments
from spindle.symmetry import space_group
from spindle.testing.crystal_indexing import ORTHORHOMBIC, CrystalIndexingContract, assert_is_among, electron_still
from spindle.testing.indexing import random_rotation, rotation_experiment, spots_of, without_crystals


def test_bands_are_as_wide_as_the_standard_deviations_make_them():
    sweeps, table, _ = electron_still(seed=1)
    params = LowResSpotMatchIndexing.Params().candidate_spots
    found = candidate_spots(sweeps[0], table, params)
    assert len(found.rlp) == 10
    # at low resolution d* = distance on the detector / (wavelength * distance of the detector)
    expected = 4.0 * 0.3 * 0.1 / (0.0251 * 1500.0)
    np.testing.assert_allclose(found.band, expected, rtol=0.01)
    length = np.linalg.norm(found.rlp, axis=1)
    np.testing.assert_allclose((found.inner + found.outer) / 2, length, atol=1e-5)
    others = np.linalg.norm(table["rlp"], axis=1)
    assert np.count_nonzero(others < length.max() - 1e-12) == 9
    limited = candidate_spots(sweeps[0], table, params.changed(limit_resolution_by="d_min", d_min=3.0))
    assert len(limited.rlp) == np.count_nonzero(others <= 1 / 3.0)


def test_true_indices_are_among_those_in_the_bands():
    sweeps, table, crystal = electron_still(seed=2)
    spots = candidate_spots(sweeps[0], table, LowResSpotMatchIndexing.Params().candidate_spots)
    reciprocal = random_rotation(2).T @ crystal.A
    every = indices_within(spots, reciprocal, space_group("P 21 21 21"), unique=False)
    few = indices_within(spots, reciprocal, space_group("P 21 21 21"), unique=True)
    for i, r in enumerate(spots.rlp):
        true = np.rint(np.linalg.inv(crystal.A) @ r)
        own = every.hkl[every.spot == i]
        assert (own == true).all(axis=1).any()
        equal = np.abs(few.hkl[few.spot == i]) == np.abs(true)  # of 222
        assert equal.all(axis=1).any()
    assert len(few.hkl) < 0.6 * len(every.hkl)
    # a centred cell has only what its centring allows
    centred = indices_within(spots, reciprocal, space_group("I 2 2 2"), unique=False)
    assert np.all(centred.hkl.sum(axis=1) % 2 == 0)


def test_superposition_is_a_proper_rotation():
    turn = random_rotation(5)
    points = np.random.default_rng(5).normal(size=(1, 3, 3)) * (1, 1, 0)  # in a plane
    product = np.einsum("kmi,kmj->kij", points @ turn.T, points)
    np.testing.assert_allclose(rotations(product)[0], turn, atol=1e-9)


def test_a_still_of_electrons_is_indexed():
    sweeps, table, crystal = electron_still(seed=3, d_min=1.0)
    result = spindle.run(
        "index", sweeps, table.without("rlp", "s1", "entering", "xyzobs.mm.value", "xyzobs.mm.variance"),
        unit_cell=ORTHORHOMBIC, space_group="P212121", **{"indexing.method": "low_res_spot_match"},
    )  # fmt: skip
    assert result.summary["fraction_indexed"] > 0.9
    found = result.experiments[0].crystal
    np.testing.assert_allclose(found.cell[:3], ORTHORHOMBIC[:3], rtol=0.02)
    combination = crystal.real_space @ found.A
    assert np.abs(combination - np.rint(combination)).max() < 0.15


def test_it_says_what_it_needs():
    sweeps, table, _ = electron_still(seed=4)
    with pytest.raises(IndexingError, match="unit_cell="):
        LowResSpotMatchIndexing().find_crystals(sweeps=sweeps, spots=table, known=None)
    truth = [rotation_experiment()]
    with pytest.raises(IndexingError, match="one still"):
        spindle.run(
            "index", without_crystals(truth), spots_of(truth), unit_cell=truth[0].crystal.cell, space_group="P1",
            **{"indexing.method": "low_res_spot_match"},
        )  # fmt: skip


def test_more_matches_find_an_orientation_that_few_miss():
    """With two pairs nothing can be found; the limits are heeded."""
    sweeps, table, crystal = electron_still(seed=1)
    known = CrystalIndexingContract().asked(sweeps, table)["known"]
    params = LowResSpotMatchIndexing.Params().changed(max_pairs=2, max_triplets=2)
    few = LowResSpotMatchIndexing.from_params(params, None).find_crystals(sweeps=sweeps, spots=table, known=known)
    assert len(few) <= 2
    many = LowResSpotMatchIndexing().find_crystals(sweeps=Experiments(list(sweeps)), spots=table, known=known)
    assert_is_among(many, crystal)
