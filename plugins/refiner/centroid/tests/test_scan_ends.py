"""Spots whose rocking curves are cut by an end of the searched images do not tell angles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from spindle_refiner_centroid import CentroidRefiner
from spindle_refiner_centroid.scan_ends import SPREAD, half_width, near, place_from_edges, searched_ends

from spindle.geometry import rotation_matrix
from spindle.models import Crystal, Experiments, Scan
from spindle.params import Auto
from spindle.testing import make_context
from spindle.testing.refiner import disturbed, rotation_experiment
from spindle_lib_refinement.testing import DriftingCrystal, plain_settings, pulls_of_orientation


def test_images_without_any_of_many_spots_were_not_searched() -> None:
    scan = Scan((11, 30), (0.0, 0.5))
    low = np.repeat(np.arange(12, 28), 40)
    low = low[(low != 20) & (low != 21)]
    assert searched_ends(scan, low, low + 1).tolist() == [12, 20, 22, 28]
    # One spot on each of a few images says nothing about the others.
    assert searched_ends(scan, np.array([12, 25]), np.array([13, 27])).tolist() == [10, 30]


def test_distances_from_ends_count_within_stretches_only() -> None:
    z = np.array([11.9, 12.2, 13.1, 18.9, 19.2, 20.5, 21.9, 22.2, 27.5, 28.3])
    cut = near(z, np.array([12, 20, 22, 28]), np.ones(len(z)))
    assert cut.tolist() == [True, True, False, False, True, True, True, True, True, True]
    assert not near(z, np.array([12, 20, 22, 28]), np.zeros(len(z))).any()


@pytest.mark.parametrize("n", [3, 8, 100])
@pytest.mark.parametrize("width", [0.2, 3.4])
def test_widths_are_found_from_the_numbers_of_images_that_spots_touch(n: int, width: float) -> None:
    rng = np.random.default_rng(n)
    z, zeta = rng.uniform(-5, n + 5, 40000), np.ones(40000)
    low, high = np.floor(z - width / 2), np.floor(z + width / 2) + 1
    seen = (high > 0) & (low < n)
    lengths = (np.minimum(high, n) - np.maximum(low, 0))[seen].astype(int)
    assert half_width(lengths, zeta[seen], np.array([0, n])) == pytest.approx(width / 2, rel=0.15)


@pytest.mark.parametrize(("n", "half"), [(1, 0.3), (2, 0.3), (2, 1.1), (3, 0.8), (8, 0.4), (8, 2.6)])
def test_edges_within_the_images_tell_places_of_cut_curves(n: int, half: float) -> None:
    """Curves at random places of a known width: right on average, by as much as is said; means of what is recorded are not."""
    rng = np.random.default_rng(n)
    z = rng.uniform(-5, n + 5, 60000)
    low, high = np.floor(z - half) + 10, np.floor(z + half) + 11
    ends, halves, reach = np.array([10.0, 10.0 + n]), np.full(len(z), half), np.full(len(z), np.ceil(half))
    cut = (high > 10) & (low < 10 + n) & near(z + 10, ends, reach)
    low, high = np.maximum(low, 10)[cut], np.minimum(high, 10 + n)[cut]
    found, variance = place_from_edges(low, high, halves[cut], reach[cut], ends)
    assert np.isfinite(variance).all()
    off = found - z[cut] - 10
    for begins in (True, False):
        side = (low > 10) == begins
        assert not side.any() or abs(off[side].mean()) < 0.02
    assert np.mean(off**2) == pytest.approx(np.mean(variance) - (SPREAD * half) ** 2, rel=0.03)


def test_cut_spots_tell_cells_where_none_is_whole() -> None:
    """Two images: cells are off by 0.2 % with spots where they were seen."""
    off: dict[object, list[float]] = {0.0: [], Auto: []}
    refiner = CentroidRefiner(None, make_context())
    for seed in (1, 2, 3):
        rotation = rotation_matrix(np.array([0.6, 0.0, 0.8]), 0.7 + seed)
        crystal = Crystal.from_cell((36.0, 42, 55, 80, 95, 101), rotation, "P 1")
        experiment = replace(rotation_experiment(2), crystal=crystal)
        table = DriftingCrystal(crystal, 1, 0.0, 0.0, 2).recorded(experiment, 3.0, 0.3, 300.0, seed)
        for margin, errors in off.items():
            settings = plain_settings(reflections__scan_margin=margin)
            result = refiner.refine(Experiments([disturbed(experiment)]), table, settings, False, "refinement")
            assert result.n_reflections.tolist() == [len(table)]
            found = result.experiments[0].crystal
            assert found is not None
            errors += (np.array(found.cell[:3]) / crystal.cell[:3] - 1).tolist()
    rms = {margin: np.sqrt(np.mean(np.square(errors))) for margin, errors in off.items()}
    assert rms[Auto] < 6e-4 < 15e-4 < rms[0.0]


def test_orientations_at_the_ends_of_a_scan_lie_within_their_errors() -> None:
    n_images = 60
    crystal = Crystal.from_cell((58.0, 58, 41, 90, 90, 90), rotation_matrix(np.array([0.6, 0.0, 0.8]), 5.7), "P 4")
    experiment = replace(rotation_experiment(n_images), crystal=crystal)
    drift = DriftingCrystal(crystal, 5, 0.02, 1e-3, n_images)
    table = drift.recorded(experiment, 3.4, 0.15, 300.0, 5)
    refiner = CentroidRefiner(None, make_context())
    rms = {}
    for margin in (0.0, Auto):
        settings = plain_settings(reflections__scan_margin=margin)
        result = refiner.refine(Experiments([disturbed(experiment)]), table, settings, True, "refinement")
        assert result.n_reflections.tolist() == [len(table)]  # places on the detector are used of all
        pulls = pulls_of_orientation(result, drift)[[0, 1, -2, -1]]
        rms[margin] = np.sqrt(np.mean(pulls**2))
    assert rms[Auto] < 1.6 < 2.5 < rms[0.0]
