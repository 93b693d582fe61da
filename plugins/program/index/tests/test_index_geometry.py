"""Indices that look right with a beam centre a row of spots off, and sweeps of several crystals."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from spindle_program_index.beam_shift import shifted
from spindle_program_index.non_primitive import remainder_of_all

from spindle.execution import run
from spindle.models import Crystal, Experiments, Goniometer, Scan
from spindle.symmetry import niggli_cell
from spindle.testing.indexing import random_rotation, rotation_experiment, spots_of, without_crystals

CELLS = [(31.2, 37.5, 44.1, 81.0, 77.0, 68.0), (38.0, 46.0, 57.0, 90.0, 90.0, 90.0)]
PIXEL = 0.2


def index(truth, spots, shift_px=(0.0, 0.0), **params):
    wrong = shifted(without_crystals(truth), (shift_px[0] * PIXEL, shift_px[1] * PIXEL))
    return run("index", wrong, spots, **{"max_refine": 8, **params})


def sweep(cell, n_images=30, seed=3, **options):
    return rotation_experiment(cell, seed=seed, n_images=n_images, **options)


def centre(experiment):
    return experiment.detector.beam_centre_px(experiment.beam.s0, 0)


@pytest.mark.parametrize(("cell", "direction"), [(CELLS[0], (1.0, 0.0)), (CELLS[1], (0.0, 1.0))])
@pytest.mark.sampled(2)
def test_a_beam_centre_one_row_off_is_found_and_mended(cell, direction):
    truth = [sweep(cell)]
    row = truth[0].beam.wavelength * 180.0 / cell[1] / PIXEL
    result = index(truth, spots_of(truth, seed=1), row * np.array(direction))
    np.testing.assert_allclose(centre(result.experiments[0]), centre(truth[0]), atol=0.3)
    np.testing.assert_allclose(result.experiments[0].crystal.cell, niggli_cell(cell), rtol=2e-3)
    assert result.summary["fraction_indexed"] > 0.98
    warning = result.summary.get("warning", "")
    assert "search_beam_position" in warning
    x, _ = centre(truth[0])
    assert f"geometry.detector.fast_slow_beam_centre={x:.1f}"[:-1] in warning
    told = float(re.search(r"wrong by ([\d.]+) px", warning).group(1))
    assert told == pytest.approx(row, abs=0.3)


@pytest.mark.parametrize(("n_images", "distance"), [(10, 180.0), (60, 400.0), (180, 90.0)])
def test_the_right_geometry_gives_no_warning(n_images, distance):
    truth = [sweep(CELLS[0], n_images=n_images, distance=distance)]
    result = index(truth, spots_of(truth, seed=1, d_min=3.5))
    assert "warning" not in result.summary
    np.testing.assert_allclose(
        result.experiments[0].crystal.cell, niggli_cell(CELLS[0]), rtol=1e-2 if n_images == 10 else 2e-3
    )


@pytest.mark.parametrize("factor", [0.93, 1.05])
def test_a_wrong_distance_is_told_with_both_numbers(factor):
    truth = [sweep(CELLS[0], n_images=90)]
    spots = spots_of(truth, seed=1, d_min=3.5)
    (given,) = without_crystals(truth)
    panel = given.detector[0]
    moved = given.detector.replace_panels([replace(panel, origin=panel.origin * (1, 1, factor))])
    result = run("index", Experiments([replace(given, detector=moved)]), spots, max_refine=8)
    warning = result.summary["warning"]
    assert f"distance changed from {180 * factor:.2f} to 180" in warning
    assert "search_beam_position" in warning
    np.testing.assert_allclose(result.experiments[0].crystal.cell, niggli_cell(CELLS[0]), rtol=3e-3)


def test_two_sweeps_on_one_detector_are_mended_together():
    first = sweep(CELLS[1], n_images=15)
    second = replace(first, scan=Scan(image_range=(1, 15), oscillation_deg=(40.0, 1.0)), identifier="second")
    truth = [first, second]
    row = 180.0 / 46.0 / PIXEL
    result = index(truth, spots_of(truth, seed=1), (row, 0.0))
    for experiment in result.experiments:
        np.testing.assert_allclose(centre(experiment), centre(first), atol=0.3)
    np.testing.assert_allclose(result.experiments[0].crystal.cell, niggli_cell(CELLS[1]), rtol=2e-3)


@pytest.fixture(scope="module")
def three_crystals():
    """Three sweeps, the second and third of crystals in other orientations."""
    first = sweep(CELLS[0])
    truth = [first]
    for number in (11, 12):
        crystal = Crystal.from_cell(CELLS[0], random_rotation(number), "P 1")
        scan = Scan(image_range=(1, 30), oscillation_deg=(0.0, 1.0))
        other = replace(first, crystal=crystal, scan=scan, goniometer=Goniometer(rotation_axis=np.array([1.0, 0, 0])))
        truth.append(replace(other, identifier=str(number)))
    return truth, spots_of(truth, seed=1)


def test_sweeps_of_other_crystals_are_named_with_what_helps(three_crystals):
    truth, spots = three_crystals
    warning = index(truth, spots).summary["warning"]
    assert "joint_indexing=False" in warning
    fits, fits_not = warning.split("but not")
    assert sum(f"{i} (" in fits for i in range(3)) == 1
    assert sum(f"{i} (" in fits_not for i in range(3)) == 2


def test_that_advice_indexes_all_of_them(three_crystals):
    truth, spots = three_crystals
    result = index(truth, spots, joint_indexing=False)
    assert "warning" not in result.summary
    assert result.summary["fraction_indexed"] > 0.98
    assert len(result.experiments.unique("crystal")) == 3
    for experiment in result.experiments:
        np.testing.assert_allclose(experiment.crystal.cell, niggli_cell(CELLS[0]), rtol=2e-3)


def test_indices_of_a_cell_that_is_too_large_leave_a_remainder():
    rng = np.random.default_rng(0)
    hkl = rng.integers(-20, 21, (2000, 3))
    assert remainder_of_all(hkl, 0.9) is None
    assert remainder_of_all(hkl * [1, 2, 1], 0.9) is None  # absences alone: `smaller_cell` tells them
    vector, modulus, remainder = remainder_of_all(np.concatenate([hkl * [1, 2, 1] + [0, 1, 0], hkl[:100]]), 0.9)
    assert abs(vector).tolist() == [0, 1, 0] and (modulus, remainder) == (2, 1)
    assert remainder_of_all(hkl[:0], 0.9) is None
