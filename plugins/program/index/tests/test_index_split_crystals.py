"""Crystals that are split by less than the least angle between lattices, and cells whose longest edge the neighbours of spots do not show."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from spindle_program_index.evidence import improve
from spindle_program_index.orientation import misorientation_deg
from spindle_program_index.params import IndexParams
from spindle_program_index.preparation import prepare
from spindle_program_index.split import turned_copies
from spindle_program_index.spot_frames import spot_frames
from spindle_program_index.superlattices import grown, sublattice_matrices

import spindle
from spindle.symmetry import niggli_cell
from spindle.table import ReflectionTable
from spindle.testing.indexing import rotation_experiment, spots_of, without_crystals

CELL = (57.8, 57.8, 75.1, 90.0, 90.0, 90.0)
ANGLE = 1.2
SEPARATION = "multiple_lattice_search.minimum_angular_separation"


@pytest.fixture(scope="module")
def split():
    """Two parts of a crystal, 1.2 degrees apart."""
    first = rotation_experiment(CELL, seed=3, n_images=30, width_deg=0.5)
    turn = Rotation.from_rotvec(np.radians(ANGLE) * np.array([0.36, 0.48, 0.8])).as_matrix()
    truth = [first, replace(first, crystal=first.crystal.with_A(turn @ first.crystal.A))]
    parts = [
        spots_of([t], keep=k, d_min=3.0, seed=8 + i) for i, (t, k) in enumerate(zip(truth, (0.6, 0.4), strict=True))
    ]
    return truth, parts


def frames_of(sweep, spots):
    sweeps = without_crystals([sweep])
    return spot_frames(sweeps, prepare(spots, sweeps, IndexParams().indexing))


def test_the_turn_of_the_other_part_is_found_from_the_known_one(split):
    truth, parts = split
    best = turned_copies(frames_of(truth[0], parts[1]), truth[0].crystal.A)[0]
    assert misorientation_deg(np.linalg.inv(best), truth[1].crystal.real_space) < 0.1


@pytest.mark.long
def test_a_split_crystal_is_told_of_and_indexed_when_the_user_wants_it(split, caplog):
    truth, parts = split
    given, spots = without_crystals(truth[:1]), ReflectionTable.concatenate(parts)
    with caplog.at_level(logging.INFO, "spindle"):
        one = spindle.run("index", given, spots, max_refine=4)
    assert one.summary["n_lattices"] == 1
    rest = 1 - one.summary["fraction_indexed"]
    assert one.summary["further_fraction"] == pytest.approx(rest, abs=0.05)
    assert "The crystal is split: the same lattice, turned by 1.2 degrees" in caplog.text
    assert "max_lattices=Auto minimum_angular_separation=0.6" in caplog.text
    both = spindle.run("index", given, spots, max_refine=4, max_lattices="Auto", **{SEPARATION: 0.6})
    assert both.summary["n_lattices"] == 2
    assert both.summary["fraction_indexed"] > 0.99
    for experiment in truth:
        angles = [
            misorientation_deg(c.real_space, experiment.crystal.real_space) for c in both.experiments.unique("crystal")
        ]
        assert min(angles) < 0.03


def test_one_whole_crystal_is_not_called_split(split, caplog):
    truth, parts = split
    with caplog.at_level(logging.INFO, "spindle"):
        spindle.run("index", without_crystals(truth[:1]), parts[0], max_refine=4)
    assert "split" not in caplog.text


@pytest.mark.parametrize(("fold", "count"), [(2, 7), (3, 13)])
def test_sublattices_are_counted(fold, count):
    """Their number is the sum of d * the sum of the divisors of d over the divisors d: 7 for 2, 13 for 3."""
    matrices = sublattice_matrices(fold)
    assert len({m.tobytes() for m in matrices}) == len(matrices) == count
    np.testing.assert_allclose(np.linalg.det(matrices), fold)


def test_a_part_of_the_lattice_grows_to_the_whole_and_no_farther(split):
    truth, parts = split
    frames = frames_of(truth[0], parts[0])
    A = truth[0].crystal.A
    for matrix in (np.diag([1.0, 1.0, 6.0]), np.array([[1.0, 1, 0], [-1, 1, 0], [0, 0, 1]])):
        part = improve(frames, A @ matrix, 0.0)
        whole = grown(frames, part, lambda basis: True)
        assert whole.gain > 1.5 * part.gain
        np.testing.assert_allclose(abs(np.linalg.det(whole.A)), abs(np.linalg.det(A)), rtol=1e-3)
    true = improve(frames, A, 0.0)
    assert grown(frames, true, lambda basis: True) is true


def test_a_longer_edge_is_tried_where_the_estimate_leaves_spots_without_index():
    """190 A, but no two spots next to each other along it: neighbours tell 83 A, of which a third of the spots are a lattice."""
    cell = (31.0, 40.0, 190.0, 90.0, 90.0, 90.0)
    truth = [rotation_experiment(cell, seed=4, n_images=6, width_deg=0.5)]
    spots = spots_of(truth, seed=1, keep=0.5, d_min=2.2)
    taken, rows = set(), []
    for row, (h, k, l) in enumerate(spots["true_index"].tolist()):
        if not any((h, k, l + step) in taken for step in (-2, -1, 1, 2)):
            taken.add((h, k, l))
            rows.append(row)
    spots = spots.select(np.array(rows))
    result = spindle.run("index", without_crystals(truth), spots, max_refine=8)
    np.testing.assert_allclose(result.experiments[0].crystal.cell, niggli_cell(cell), rtol=1e-3)
    assert result.summary["fraction_indexed"] > 0.99
    short = spindle.run("index", without_crystals(truth), spots, max_refine=8, max_cell=83)
    assert short.summary["fraction_indexed"] < 0.8


def test_spots_of_a_wrong_beam_centre_are_tried_with_the_detector_moved():
    """Narrow wedge, long edges: no spot of low resolution has the index of its lattice point."""
    cell = (38.0, 170.0, 195.0, 90.0, 90.0, 90.0)
    truth = [rotation_experiment(cell, seed=7, n_images=2, width_deg=0.5)]
    spots = spots_of(truth, seed=2, keep=0.6, d_min=2.2)
    panel = truth[0].detector[0]
    wrong = replace(
        truth[0], detector=truth[0].detector.replace_panels([replace(panel, origin=panel.origin + [0.5, 0.4, 0.0])])
    )
    result = spindle.run("index", without_crystals([wrong]), spots, max_refine=8)
    np.testing.assert_allclose(result.experiments[0].crystal.cell, niggli_cell(cell), rtol=2e-3)
    assert result.summary["fraction_indexed"] > 0.98
    assert "warning" not in result.summary
