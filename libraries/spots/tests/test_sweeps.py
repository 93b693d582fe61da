"""Joining spots of several sweeps, and the longest cell edge from their distances."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spindle.contracts.indexing import IndexingError
from spindle.files.maps import with_distortion, write_map
from spindle.models import Beam, Detector, Experiments, ImageSet
from spindle.prediction import add_observed_geometry
from spindle.table import Flag
from spindle.testing.indexing import rotation_experiment, spots_of, without_crystals
from spindle_lib_spots.max_cell import estimate_max_cell
from spindle_lib_spots.params import MaxCellParams
from spindle_lib_spots.sweeps import (
    _first_alike,
    join_tables,
    share_similar_models,
    strong_spots,
    sweeps_of,
    with_common_scans,
)


def test_lattices_of_one_scan_are_one_sweep():
    first = replace(rotation_experiment(n_images=5), imageset=ImageSet())
    second = replace(first, crystal=rotation_experiment(seed=3).crystal, identifier="second")
    other = rotation_experiment(n_images=6)
    sweeps, crystals = sweeps_of(Experiments([first, second, other]))
    assert len(sweeps) == 2 and all(s.crystal is None for s in sweeps)
    assert len(crystals) == 3
    assert sweeps[0].detector is sweeps[1].detector, "equal detectors become one model"


def test_spots_without_their_experiments_are_refused():
    experiment = rotation_experiment(n_images=5)
    spots = spots_of([experiment])
    spots["imageset_id"] = np.full(len(spots), 2, dtype=np.int32)
    with pytest.raises(IndexingError, match="3 sweeps"):
        join_tables([spots], without_crystals([experiment]))


@pytest.mark.parametrize("n_tables", [1, 2])
def test_spots_of_no_sweep_are_refused(n_tables):
    experiments = [rotation_experiment(n_images=5), rotation_experiment(n_images=6)]
    tables = [spots_of([e]) for e in experiments[:n_tables]]
    numbers = np.zeros(len(tables[-1]), dtype=np.int32)
    numbers[4] = -1
    tables[-1]["imageset_id"] = numbers
    with pytest.raises(IndexingError, match="row 4 of the spots has the imageset_id -1"):
        join_tables(tables, without_crystals(experiments))


def test_strong_spots_of_some_images_forget_their_indices():
    spots = spots_of([rotation_experiment(n_images=20)])
    spots["flags"] |= np.uint64(int(Flag.INDEXED))
    spots["flags"][::2] = 0
    kept = strong_spots(spots, [(3, 5), (9, 9)])
    image = np.floor(kept["xyzobs.px.value"][:, 2]) + 1
    assert set(image) == {3, 4, 5, 9}
    assert not kept.has_flags(Flag.INDEXED).any() and np.all(kept["id"] == -1)


def test_images_without_spots_are_named():
    spots = spots_of([rotation_experiment(n_images=5)])
    with pytest.raises(IndexingError, match=r"image_range=7,9 4,2: there are no strong .* lie on images 1 to 5"):
        strong_spots(spots, [(7, 9), (4, 2)])


def test_longest_edge_is_within_the_margin():
    experiment = rotation_experiment(cell=(40, 50, 60, 90, 90, 90), n_images=60)
    spots = strong_spots(spots_of([experiment], keep=0.9))
    points = add_observed_geometry(without_crystals([experiment]), spots, "imageset_id")
    assert 50 < estimate_max_cell(points, MaxCellParams()) < 2 * 60


@pytest.mark.parametrize("shifts", [(1.0, 1.0), (1.0, 2.0)])
def test_detectors_of_the_same_place_are_one_only_with_the_same_maps(tmp_path, shifts):
    experiments = []
    for number, shift in enumerate(shifts):
        folder = tmp_path / (f"of_{number}" if shifts[0] != shifts[1] else "of_both")
        folder.mkdir(exist_ok=True)
        plain = rotation_experiment(n_images=5)
        width, height = plain.detector[0].image_size
        write_map(str(folder / "dx.npz"), [np.full((height, width), shift)])
        images = ImageSet(template="x_##.cbf", image_range=(1, 5), dx=str(folder / "dx.npz"))
        experiments.append(with_distortion(Experiments([replace(plain, imageset=images)]))[0])
    first, second = share_similar_models(Experiments(experiments))
    assert (first.detector is second.detector) == (shifts[0] == shifts[1])


@pytest.mark.parametrize(
    ("what", "is_one"),
    [({"mu": 2.0005}, True), ({"mu": 4.0}, False), ({"gain": 2.0}, False), ({"trusted_range": (0.0, 9.0)}, False)],
)
def test_detectors_of_the_same_place_are_one_only_where_they_see_the_same(what, is_one):
    """Two wavelengths are stopped at different depths."""
    plain = rotation_experiment(n_images=5)
    two = [
        replace(plain, detector=Detector([replace(plain.detector[0], thickness=0.3, **seen)]))
        for seen in ({"mu": 2.0}, {"mu": 2.0} | what)
    ]
    first, second = share_similar_models(Experiments(two))
    assert (first.detector is second.detector) == is_one


def test_equal_scans_become_one_where_the_user_wants_it():
    first = replace(rotation_experiment(n_images=5), imageset=ImageSet())
    second = replace(first, imageset=ImageSet(), scan=replace(first.scan), identifier="second")
    longer = replace(rotation_experiment(n_images=6), imageset=ImageSet(), identifier="third")
    sweeps, _ = sweeps_of(Experiments([first, second, longer]))
    assert len(sweeps.unique("scan")) == 3
    common = with_common_scans(sweeps)
    assert common[0].scan is common[1].scan and common[2].scan is not common[0].scan


def test_models_that_are_alike_become_the_first_of_them():
    beams = [Beam([0.0, 0.0, 1.0], 1.0 + d) for d in (0.0, 0.1, 4e-7, 0.1 + 9e-7, 8e-7, 1.3e-6)]
    sweeps = Experiments([replace(rotation_experiment(), beam=beam) for beam in beams])
    found = share_similar_models(sweeps)
    first = [beams[i] for i in (0, 1, 0, 1, 0, 2)]
    assert all(e.beam is beam for e, beam in zip(found, first, strict=True))


def test_thousands_of_different_models_find_those_alike():
    """Each is next to a few others along any line through what describes them."""
    rng = np.random.default_rng(1)
    described = [rng.normal(size=6) for _ in range(2000)]
    described += [numbers + 5e-7 for numbers in described[:1000:-1]]
    first = _first_alike(described)
    assert first == [*range(2000), *range(1999, 1000, -1)]
