"""Sums over images, polar grids, filters along rings, holes and files: against numpy and against truth."""

from __future__ import annotations

import numpy as np
import pytest

from spindle.errors import FileFormatError
from spindle.models import Beam, Detector, Panel
from spindle_lib_background_images.files import BackgroundImages, read_models, write_models
from spindle_lib_background_images.holes import diffuse, fill_from_nearest
from spindle_lib_background_images.kernels import filter_rings, robust_scale
from spindle_lib_background_images.modelling import Modeller
from spindle_lib_background_images.polar import PolarGrid, smoothed_model
from spindle_lib_background_images.sums import PixelStatistics
from spindle_lib_noise.robust_counts import moments_grid

AXIS = np.array([1.0, 0.0, 0.0])


def detector(nx: int = 120, ny: int = 100, centre: tuple[float, float] = (57.3, 48.6)) -> Detector:
    panel = Panel(
        fast_axis=np.array([1.0, 0.0, 0.0]),
        slow_axis=np.array([0.0, -1.0, 0.0]),
        origin=np.array([-centre[0] * 0.172, centre[1] * 0.172, -100.0]),
        pixel_size=np.array([0.172, 0.172]),
        image_size=(nx, ny),
        trusted_range=(0.0, 1e6),
    )
    return Detector((panel,))


BEAM = Beam(direction=np.array([0.0, 0.0, 1.0]), wavelength=1.0)


def radius(d: Detector, centre: tuple[float, float] = (57.3, 48.6)) -> np.ndarray:
    nx, ny = d[0].image_size
    y, x = np.mgrid[:ny, :nx] + 0.5
    return np.asarray(np.hypot(x - centre[0], y - centre[1]))


def test_statistics_are_those_of_numpy_and_parts_add_up() -> None:
    rng = np.random.default_rng(0)
    images, good = rng.poisson(3.0, (12, 20, 30)).astype(np.float32), rng.random((12, 20, 30)) > 0.2
    whole, begin, end = (PixelStatistics((20, 30)) for _ in range(3))
    for i in range(12):
        whole.add(images[i], good[i])
        (begin if i < 5 else end).add(images[i], good[i])
    begin.add_all(end)
    values = np.where(good, images.astype(float), np.nan)
    for sums in (whole, begin):
        assert np.allclose(sums.mean, np.nanmean(values, axis=0))
        assert np.allclose(sums.variance, np.nanvar(values, axis=0, ddof=1))
        assert np.array_equal(sums.image("min"), np.nanmin(values, axis=0))
        assert np.array_equal(sums.largest, np.nanmax(values, axis=0))
        assert np.array_equal(sums.good(10), good.sum(axis=0) >= 10)


# sizes of DIALS 3.12 for the same panels and beam centres
@pytest.mark.parametrize(
    ("nx", "ny", "centre", "size"),
    [(487, 619, (247.67, 320.11), (745, 405)), (1024, 1024, (507.4, 506.4), (1433, 732))],
)
def test_sizes_are_those_of_dials(nx: int, ny: int, centre: tuple[float, float], size: tuple[int, int]) -> None:
    found = PolarGrid(detector(nx, ny, centre), 0, BEAM, AXIS).size
    assert found == size


def test_pixels_are_shared_whole_among_cells() -> None:
    grid = PolarGrid(detector(), 0, BEAM, AXIS)
    from spindle_lib_background_images.kernels import resample_forward

    total, area, bad = np.zeros(grid.size), np.zeros(grid.size), np.zeros(grid.size, np.uint8)
    ones = np.ones(grid.cut.shape)
    resample_forward(ones, ~grid.cut, grid.cut, grid.r, grid.theta, total, area, bad)
    # the area that the pixels themselves have on the grid
    r, t = grid.r, grid.theta
    a = 0.5 * np.abs(
        (r[1:, 1:] - r[:-1, :-1]) * (t[1:, :-1] - t[:-1, 1:]) - (r[1:, :-1] - r[:-1, 1:]) * (t[1:, 1:] - t[:-1, :-1])
    )
    assert total.sum() == pytest.approx(a[~grid.cut].sum(), rel=1e-3)
    assert not bad.any()
    assert 0 < grid.cut.sum() < 120


def test_what_depends_on_radius_comes_back() -> None:
    d = detector()
    image = 5.0 * np.exp(-radius(d) / 60.0)
    good = np.ones(image.shape, bool)
    good[40:45] = False
    model, _ = smoothed_model(PolarGrid(d, 0, BEAM, AXIS), image, good, 50, True, 100)
    away = np.abs(model / image - 1)[good & (radius(d) > 4)]
    assert np.median(away) < 0.002 and np.quantile(away, 0.99) < 0.02
    assert not model[~good].any()


def test_spots_that_stick_out_of_a_ring_do_not_pass_the_median() -> None:
    d = detector()
    image = np.random.default_rng(1).poisson(200.0, (100, 120)).astype(float)
    image[np.random.default_rng(2).random(image.shape) < 0.02] += 5000
    good = np.ones(image.shape, bool)
    grid = PolarGrid(d, 0, BEAM, AXIS)
    median, mean = (smoothed_model(grid, image, good, 50, use, 10)[0][radius(d) > 8] for use in (True, False))
    assert median.mean() == pytest.approx(200.0, rel=0.03)
    assert mean.mean() > 260.0


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("median", [True, False])
def test_filters_are_those_of_their_windows(periodic: bool, median: bool) -> None:
    rng = np.random.default_rng(3)
    polar, valid = rng.normal(5.0, 1.0, (40, 6)), rng.random((40, 6)) > 0.3
    valid[10:20, 2] = False
    out, known = np.zeros((40, 6)), np.zeros((40, 6), bool)
    filter_rings(polar, valid, 4, periodic, median, out, known)
    for i in range(6):
        for j in range(40):
            rows = np.arange(j - 4, j + 5)
            rows = rows % 40 if periodic else rows[(rows >= 0) & (rows < 40)]
            values = polar[rows, i][valid[rows, i]]
            assert known[j, i] == (len(values) > 0)
            if len(values):
                assert out[j, i] == pytest.approx(np.median(values) if median else values.mean())


def test_holes_become_what_diffusion_makes_of_their_edge() -> None:
    y, x = np.mgrid[:30, :40]
    plane = 2.0 + 0.1 * x + 0.3 * y
    holes = np.zeros((30, 40), bool)
    holes[10:16, 12:20] = True
    filled = diffuse(fill_from_nearest(np.where(holes, 0.0, plane), ~holes), holes, 300)
    assert np.allclose(filled, plane, atol=0.02)  # a plane solves Laplace's equation


@pytest.mark.parametrize("mean", [0.3, 3.0, 40.0])
def test_the_robust_scale_has_little_bias_and_takes_outliers(mean: float) -> None:
    rng = np.random.default_rng(4)
    model = np.linspace(0.5, 1.5, 20_000)
    data = rng.poisson(mean * model).astype(float)
    data[rng.random(len(data)) < 0.01] += 50.0 + 10 * mean
    scale, variance = robust_scale(data, model, np.ones(len(data), bool), 1.345, moments_grid(1.345), 10)
    assert scale == pytest.approx(mean, rel=0.04)
    assert np.sqrt(variance) == pytest.approx(np.sqrt(mean / len(data)), rel=0.6)


def test_a_model_of_few_images_asks_for_all_of_them() -> None:
    from spindle.testing.background_images import ringed_background, ringed_experiment, ringed_images

    experiment = ringed_experiment(detector(), 6)
    expected = ringed_background(experiment, level=20.0, ring=0.0)
    sums = PixelStatistics(expected.shape)
    for image in ringed_images(experiment, expected):
        sums.add(image, np.ones(image.shape, bool))
    (made,) = Modeller(min_images=10)(experiment, [sums])
    assert made.good.all()
    assert np.median(np.abs(made.model / expected - 1)) < 0.02


def test_files_come_back_and_others_are_refused(tmp_path) -> None:  # type: ignore[no-untyped-def]
    image = np.random.default_rng(5).random((4, 5)).astype(np.float32)
    models = [BackgroundImages(f"a_{i}.cbf", (image + i, image), 3, np.array([1.0, np.nan])) for i in range(2)]
    write_models(tmp_path / "b.npz", models)
    again = read_models(tmp_path / "b.npz")
    assert [m.name for m in again] == ["a_0.cbf", "a_1.cbf"]
    assert np.array_equal(again[1].images[0], image + 1) and again[0].first == 3
    assert np.array_equal(again[0].scales, models[0].scales, equal_nan=True)
    (tmp_path / "background.pickle").write_bytes(b"\x80\x02}q\x00.")
    for name, words in (("background.pickle", "Pickles"), ("none.npz", "there is no such file")):
        with pytest.raises(FileFormatError, match=words):
            read_models(tmp_path / name)
