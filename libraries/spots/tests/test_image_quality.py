"""Judging images by their spots: counts, intensities and resolution limits of spots with known truth."""

from __future__ import annotations

import numpy as np
import pytest

from spindle.errors import ModelError
from spindle.models import Beam, Detector, Experiment, Experiments, Goniometer, ImageSet, Panel, Scan
from spindle.table import ReflectionTable
from spindle_lib_spots.image_quality import analyse_image, analyse_images, analyse_together, sets_of_images
from spindle_lib_spots.resolution_limits import NOT_ESTIMATED, distl_method_1, distl_method_2, limit_by_signal


def experiment(n_images: int = 3, first: int = 1) -> Experiment:
    # 1 angstrom, 200 x 200 mm at 100 mm, beam in the middle.
    panel = Panel((1, 0, 0), (0, -1, 0), (-100, 100, -100), (0.1, 0.1), (2000, 2000))
    return Experiment(
        beam=Beam(direction=(0, 0, 1), wavelength=1.0),
        detector=Detector([panel]),
        goniometer=Goniometer(rotation_axis=(1, 0, 0)),
        scan=Scan((first, first + n_images - 1), (0.0, 1.0)),
        imageset=ImageSet(template="a_##.cbf", image_range=(first, first + n_images - 1)),
    )


def spots(d: np.ndarray, z: np.ndarray | float = 0.5, intensity: np.ndarray | float = 100.0) -> ReflectionTable:
    """Spots at resolutions d to the right of the beam, on a circle of azimuths."""
    radius = 1000.0 * np.tan(2 * np.arcsin(0.5 / d))
    azimuth = np.linspace(0, 2 * np.pi, len(d), endpoint=False)
    xyz = np.empty((len(d), 3))
    xyz[:, 0], xyz[:, 1], xyz[:, 2] = 1000 + radius * np.cos(azimuth), 1000 + radius * np.sin(azimuth), z
    total = np.broadcast_to(np.asarray(intensity, float), (len(d),)).copy()
    return ReflectionTable(
        {
            "id": np.zeros(len(d), np.int32),
            "panel": np.zeros(len(d), np.uint64),
            "xyzobs.px.value": xyz,
            "intensity.sum.value": total,
            "intensity.sum.variance": np.maximum(total, 1.0),
        }
    )


def filled_space(n: int, limit: float, seed: int = 1) -> np.ndarray:
    """Resolutions of n spots that fill a sphere in reciprocal space evenly."""
    return np.random.default_rng(seed).uniform(20.0**-3, limit**-3, n) ** (-1 / 3)


# The rings of hexagonal ice at 3.897, 3.669 and 3.441 angstrom.
ICE = np.array([3.897, 3.669, 3.441])


def test_counts_and_intensity_of_each_image():
    d = np.concatenate([[8.0, 5.0, 3.0, 2.8], ICE, [5.0]])
    table = spots(d, np.array([0.1, 0.9, 1.5, 1.5, 1.5, 1.2, 2.0, 2.99]), np.arange(1, 9))
    ((_, found),) = analyse_images(Experiments([experiment()]), table)
    assert found.n_spots_total.tolist() == [2, 4, 2]
    assert found.n_spots_no_ice.tolist() == [2, 2, 1]
    assert found.n_spots_4A.tolist() == [2, 0, 1]
    assert found.total_intensity.tolist() == [3.0, 7.0, 8.0]
    assert np.all(found.estimated_d_min == NOT_ESTIMATED)


def test_image_numbers_follow_the_scan():
    table = spots(np.full(3, 5.0), np.array([20.5, 22.5, 22.1]))
    ((sweep, found),) = analyse_images(Experiments([experiment(3, 21)]), table)
    assert found.n_spots_total.tolist() == [1, 0, 2]
    assert sweep.names() == ["a_21.cbf", "a_22.cbf", "a_23.cbf"]


def test_crystals_of_one_image_set_are_one_sweep_and_unindexed_spots_count():
    first = experiment()
    second = Experiment(
        beam=first.beam, detector=first.detector, goniometer=first.goniometer, scan=first.scan, imageset=first.imageset
    )
    experiments = Experiments([first, second, experiment()])
    table = spots(np.full(5, 5.0))
    table["id"] = np.array([0, 1, -1, 2, -1])
    table["imageset_id"] = np.array([0, 0, 0, 1, 1])
    assert [s.numbers for s in sets_of_images(experiments)] == [(0, 1), (2,)]
    counts = [found.n_spots_total.tolist() for _, found in analyse_images(experiments, table)]
    assert counts == [[3, 0, 0], [2, 0, 0]]


def test_limits_of_an_evenly_filled_sphere():
    d = filled_space(600, 2.0)
    found = analyse_image(experiment(), spots(d, intensity=np.random.default_rng(2).uniform(90, 110, 600)))
    # The outermost of 600 evenly spread spots is within 0.1 % of the limit, that below the line within about 1 %.
    assert found["estimated_d_min"] == pytest.approx(2.0, abs=0.02)
    assert found["d_min_distl_method_2"] == pytest.approx(2.0, abs=0.02)
    assert found["n_spots_total"] == 600


def test_few_spots_beyond_the_limit_do_not_move_it():
    d = np.concatenate([filled_space(400, 2.0), np.linspace(1.95, 1.4, 12)])
    assert distl_method_1(d, d**-3)[0] == pytest.approx(2.0, abs=0.15)
    assert distl_method_2(d, d**-3)[0] == pytest.approx(2.0, abs=0.1)


def test_noisiness_is_none_for_perfect_order_and_large_for_clumps():
    # The slope from the first spot rises all the way: no pair falls.
    rank = np.arange(100.0)
    ordered = 0.001 * (1 + rank + 0.01 * rank**2)
    assert distl_method_1(ordered ** (-1 / 3), ordered)[1] == 0.0
    clumps = np.concatenate([np.linspace(0.0, 0.1, 10), np.linspace(0.9, 1.0, 200)]) + 0.01
    assert distl_method_2(clumps ** (-1 / 3), clumps)[1] > 0.7


def test_ice_spots_change_no_limit():
    d = filled_space(500, 2.0)
    d = d[np.min(np.abs(d[:, None] ** -2.0 - ICE**-2.0), axis=1) > 0.003]
    ice = np.repeat(ICE, 100)
    one = analyse_image(experiment(), spots(d))
    other = analyse_image(experiment(), spots(np.concatenate([d, ice])))
    names = [n for n in one if n not in ("n_spots_total",)]
    assert other["n_spots_total"] == one["n_spots_total"] + 300
    assert {n: other[n] for n in names} == pytest.approx({n: one[n] for n in names}, rel=1e-9)


def test_bright_spots_far_out_do_not_set_the_limit_by_signal():
    rng = np.random.default_rng(3)
    d = filled_space(500, 2.0)
    intensity = 1e4 * np.exp(-20.0 / (2 * d**2)) * rng.uniform(0.5, 1.0, len(d))
    alone = limit_by_signal(d, intensity, intensity)
    stray = np.concatenate([d, [1.5, 1.45]])
    bright = np.concatenate([intensity, [1e6, 1e6]])
    assert limit_by_signal(stray, bright, bright) == pytest.approx(alone, rel=1e-3)


def test_spots_at_one_place_and_single_spots_have_no_limit():
    same = np.full(50, 3.0)
    assert limit_by_signal(same, np.full(50, 9.0), np.full(50, 9.0)) == NOT_ESTIMATED
    assert distl_method_2(same, same**-3)[0] == pytest.approx(3.0)
    assert distl_method_1(same[:5], same[:5] ** -3) == (NOT_ESTIMATED, NOT_ESTIMATED)
    assert limit_by_signal(same, np.zeros(50), np.zeros(50)) == NOT_ESTIMATED


def test_all_images_together_and_switch():
    d = filled_space(300, 2.0)
    table = spots(d, np.linspace(0, 2.9, 300))
    together = analyse_together(Experiments([experiment()]), table)
    assert together["n_spots_total"] == 300 and together["d_min_distl_method_2"] > 0
    ((_, found),) = analyse_images(Experiments([experiment()]), table, resolution_analysis=False)
    assert np.all(found.d_min_distl_method_2 == NOT_ESTIMATED) and found.n_spots_total.sum() == 300


def test_empty_table_and_foreign_tables():
    experiments = Experiments([experiment()])
    ((_, found),) = analyse_images(experiments, spots(np.zeros(0)))
    assert found.n_spots_total.tolist() == [0, 0, 0]
    table = spots(np.full(3, 5.0))
    del table["intensity.sum.variance"]
    with pytest.raises(ModelError, match=r"lack intensity.sum.variance"):
        list(analyse_images(experiments, table))
    table = spots(np.full(3, 5.0))
    table["panel"] = np.array([0, 4, 0])
    with pytest.raises(ModelError, match="panel 4"):
        list(analyse_images(experiments, table))


def test_stills_of_one_file_and_of_many():
    one = experiment()
    still = Experiment(beam=one.beam, detector=one.detector, imageset=ImageSet("ImageSet", paths=("s.cbf",)))
    files = ("g_1.cbf", "g_2.cbf", "g_3.cbf")
    grid = Experiment(beam=one.beam, detector=one.detector, imageset=ImageSet("ImageSet", paths=files))
    late = Experiment(
        beam=one.beam,
        detector=one.detector,
        scan=Scan((7, 7), (0.0, 0.0)),
        imageset=ImageSet("ImageSet", paths=("m.h5",), single_file_indices=(6,)),
    )
    table = spots(np.full(5, 5.0), np.array([0.0, 0.5, 2.5, 6.5, 2.5]))
    table["id"] = np.array([0, 1, 1, 2, 1])
    found = list(analyse_images(Experiments([still, grid, late]), table))
    assert [counts.n_spots_total.tolist() for _, counts in found] == [[1], [1, 0, 2], [1]]
    assert [sweep.names() for sweep, _ in found] == [["s.cbf"], list(files), ["m.h5[6]"]]


def test_reflections_that_were_not_observed_do_not_count():
    table = spots(np.full(3, 5.0))
    table["xyzobs.px.value"][1] = 0.0
    ((_, found),) = analyse_images(Experiments([experiment()]), table)
    assert found.n_spots_total.tolist() == [2, 0, 0]


@pytest.mark.parametrize("volume", [0.0, 1e-9, 0.3, 1e12])
@pytest.mark.parametrize("n", [10, 41, 200])
def test_equal_volumes_have_a_limit(volume, n):
    limit, noisiness = distl_method_1(np.full(n, 2.5), np.full(n, volume))
    assert limit == 2.5 and 0 <= noisiness <= 1
