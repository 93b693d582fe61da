"""Lattices are judged by what they say about the spots."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from spindle_program_index.evidence import CHANCE, improve, share
from spindle_program_index.judgement import fault
from spindle_program_index.params import IndexParams
from spindle_program_index.preparation import prepare
from spindle_program_index.proposals import relation
from spindle_program_index.several import free_spots, least_convincing, unlikely_spots
from spindle_program_index.spot_frames import spot_frames
from spindle_program_index.triples import likely_bases

import spindle
from spindle.models import Crystal
from spindle.prediction import predict_for_indexed
from spindle.table import ReflectionTable
from spindle.testing.indexing import random_rotation, rotation_experiment, spots_of, without_crystals

CELL = (31.2, 37.5, 44.1, 81.0, 77.0, 68.0)


@contextmanager
def caught_log():
    """What is logged."""
    lines, handler = [], logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger = logging.getLogger("spindle")
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


@pytest.fixture(scope="module")
def superposed():
    """Three crystals, the weakest with a fifth of the spots of the strongest, in a wedge of 30 degrees."""
    first = rotation_experiment(CELL, seed=3, n_images=60, width_deg=0.5)
    truth = [replace(first, crystal=first.crystal.with_A(random_rotation(s) @ first.crystal.A)) for s in (5, 6, 7)]
    parts = [spots_of([t], keep=k, seed=8) for t, k in zip(truth, (0.6, 0.3, 0.12), strict=True)]
    for number, part in enumerate(parts):
        part["true_lattice"] = np.full(len(part), number, dtype=np.int32)
    return truth, ReflectionTable.concatenate(parts)


@pytest.fixture(scope="module")
def frames(superposed):
    truth, spots = superposed
    table = prepare(spots, without_crystals(truth[:1]), IndexParams().indexing)
    return spot_frames(without_crystals(truth[:1]), table), table


def test_frames_are_derivatives_of_the_prediction(superposed, frames):
    """A lattice that is turned by a hair moves predictions by what the frames say."""
    truth, _ = superposed
    frame, table = frames
    turned = truth[0].crystal.A @ np.diag([1 + 1e-5, 1 - 2e-5, 1 + 1e-5])
    own = np.flatnonzero(table["true_lattice"] == 0)
    rows = table.select(own)
    rows["id"], rows["miller_index"] = np.zeros(len(own), np.int32), rows["true_index"]
    before, after = (
        predict_for_indexed([replace(truth[0], crystal=Crystal(A=A))], rows) for A in (truth[0].crystal.A, turned)
    )
    step = rows["true_index"] @ (turned - truth[0].crystal.A).T
    expected = np.einsum("nij,nj->ni", frame.to_pixels[own], step)
    difference = after["xyzcal.px"] - before["xyzcal.px"]
    near_axis = np.abs(expected[:, 2]) > 0.05
    np.testing.assert_allclose(expected[~near_axis], difference[~near_axis], atol=4e-3)


def test_a_rough_lattice_is_fitted_to_its_part_of_the_spots(superposed, frames):
    truth, _ = superposed
    frame, table = frames
    for number, experiment in enumerate(truth):
        rough = experiment.crystal.A @ (np.eye(3) + 0.002 * random_rotation(number))
        found = improve(frame, rough, 5.0)
        np.testing.assert_allclose(np.linalg.inv(found.A), experiment.crystal.real_space, atol=0.02)
        np.testing.assert_allclose(found.width, (0.2, 0.2, 0.06), rtol=0.35)
        assert found.n_spots == pytest.approx(np.count_nonzero(table["true_lattice"] == number), rel=0.1)
        assert found.gain > 10 * CHANCE


def test_the_right_cell_gains_more_than_larger_and_smaller_ones(superposed, frames):
    truth, _ = superposed
    frame, _ = frames
    A = truth[0].crystal.A
    right = improve(frame, A, 0.0)
    doubled, halved = (improve(frame, A @ np.diag([f, 1.0, 1.0]), 0.0) for f in (0.5, 2.0))
    assert right.gain > 1.05 * doubled.gain
    assert right.gain > 1.3 * halved.gain
    assert relation(doubled.A, A) == "supercell"
    assert relation(halved.A, A) == "subcell"
    assert relation(A @ np.array([[1, 1, 0], [0, 1, 0], [0, 0, 1.0]]), A) == "same"
    assert relation(truth[1].crystal.A, A) == ""  # the same cell otherwise oriented


def test_a_lattice_of_chance_gains_nothing(frames):
    frame, _ = frames
    for seed in range(3):
        A = np.linalg.inv(np.diag([64.7, 65.4, 84.9]) @ random_rotation(40 + seed))
        found = improve(frame, A, 5.0)
        assert fault(found, [])


def test_a_wrong_lattice_is_told_among_right_ones_and_its_spots_are_free(superposed, frames):
    truth, _ = superposed
    frame, table = frames
    wrong = Crystal(A=np.linalg.inv(np.diag([64.7, 65.4, 84.9]) @ random_rotation(50)))
    right = [t.crystal for t in truth]
    assert least_convincing(frame, right) is None
    found = least_convincing(frame, [wrong, *right])
    assert found is not None and found[0] == 0
    free = free_spots(frame, right[:2])
    assert np.mean(free[table["true_lattice"] == 2]) > 0.97
    assert np.mean(free[table["true_lattice"] < 2]) < 0.05
    # The spots of the others that a lattice claims by chance are told.
    claimed = np.zeros(len(table), dtype=np.int32)
    unlikely = unlikely_spots(frame, right[:1], claimed)
    assert np.mean(unlikely[table["true_lattice"] > 0]) > 0.97
    assert np.mean(unlikely[table["true_lattice"] == 0]) < 0.03


def test_each_of_two_equal_lattices_adds_nothing(superposed, frames):
    truth, _ = superposed
    frame, _ = frames
    shares = share(frame, [truth[0].crystal.A, truth[0].crystal.A])
    assert max(lattice.gain for lattice in shares.lattices) < 1.0


def test_triples_of_one_lattice_come_before_mixed_ones(superposed, frames):
    truth, _ = superposed
    frame, _ = frames
    vectors = np.concatenate([t.crystal.real_space[i : i + 1] for i in range(3) for t in truth])
    first = next(likely_bases(vectors, frame.rlp, frame.typical_error))
    assert relation(np.linalg.inv(first), truth[0].crystal.A) == "same"


@pytest.mark.long
def test_as_many_lattices_are_found_as_there_are(superposed):
    truth, spots = superposed
    result = spindle.run("index", without_crystals(truth[:1]), spots, max_lattices="Auto", max_refine=8)
    assert result.summary["n_lattices"] == 3
    assert result.summary["fraction_indexed"] > 0.97
    for experiment in truth:
        assert any(relation(e.crystal.A, experiment.crystal.A) == "same" for e in result.experiments)
    panel = result.experiments[0].detector[0]
    assert np.degrees(np.arccos(min(1.0, panel.normal @ truth[0].detector[0].normal))) < 0.02
    # By default it is the strongest one.
    single = spindle.run("index", without_crystals(truth[:1]), spots, max_refine=8)
    assert len(single.experiments) == 1
    assert relation(single.experiments[0].crystal.A, truth[0].crystal.A) == "same"


def test_a_further_lattice_is_told_of(superposed):
    truth, spots = superposed
    last_two = spots.select(spots["true_lattice"] != 0)
    with caught_log() as lines:
        spindle.run("index", without_crystals(truth[:1]), last_two, max_refine=8)
    assert any("A further lattice" in line and "max_lattices=Auto" in line for line in lines)
