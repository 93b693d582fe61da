"""Distortion maps: where rays are seen."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from spindle.errors import FileFormatError
from spindle.files import read_experiments, write_experiments
from spindle.files.maps import with_distortion, write_map
from spindle.models import Beam, Detector, Experiment, Experiments, ImageSet, Scan
from spindle.testing.threshold import threshold_panel

BEAM = Beam(direction=np.array([0, 0, 1.0]), wavelength=1.0)
SHAPE = (200, 300)


def experiments_with(folder, dx, dy, panel=None, suffix=".npz"):
    """One experiment per map; None leaves a map out."""
    names = {}
    for name, values in (("dx", dx), ("dy", dy)):
        if values is not None:
            names[name] = str(folder / f"{name}{suffix}")
            write_map(names[name], [np.broadcast_to(values, SHAPE)])
    plain = Experiment(
        beam=BEAM,
        detector=Detector([panel or threshold_panel(300, 200)]),
        scan=Scan((1, 2), (0.0, 0.1)),
        imageset=ImageSet(template="x_##.cbf", image_range=(1, 2), **names),
        identifier="",
    )
    return Experiments([plain, plain])


@pytest.mark.parametrize("parallax", ["none", "dials", "normalised"])
def test_a_constant_shift_is_a_shift_of_the_panel(tmp_path, parallax):
    depth = {"parallax": parallax, "mu": 3.0, "thickness": 0.4} if parallax != "none" else {}
    panel = replace(threshold_panel(300, 200), **depth)
    shifted = with_distortion(experiments_with(tmp_path, 2.5, -1.25, panel))[0].detector
    moved = replace(panel, origin=panel.origin - 0.172 * 2.5 * panel.fast_axis + 0.172 * 1.25 * panel.slow_axis)
    lab = np.array([[10.0, 5.0, -100.0], [-20.0, 14.0, -100.0], [0.0, 0.0, -100.0]])
    pixels = []
    for detector in (shifted, Detector([moved])):
        d = detector[0].d
        inside = np.linalg.solve(d, (lab / (np.linalg.inv(d) @ lab.T)[2][:, None]).T).T[:, :2]
        pixels.append(detector.mm_to_pixel(0, inside))
    assert np.allclose(*pixels, atol=1e-9)
    assert np.allclose(
        shifted.lab_coordinate_of_pixel(0, pixels[0]),
        Detector([moved]).lab_coordinate_of_pixel(0, pixels[0]),
        atol=1e-9,
    )
    x, y = np.meshgrid(np.arange(SHAPE[1]) + 0.5, np.arange(SHAPE[0]) + 0.5)
    xy = np.column_stack([x.ravel(), y.ravel()])
    assert np.allclose(
        shifted.resolution_at(0, xy, BEAM.s0), Detector([moved]).resolution_at(0, xy, BEAM.s0), rtol=1e-9
    )


def test_shifts_are_those_of_the_pixel_that_is_hit(tmp_path):
    rng = np.random.default_rng(0)
    dx, dy = rng.uniform(-3, 3, (2, *SHAPE))
    detector = with_distortion(experiments_with(tmp_path, dx, dy, suffix=".h5"))[0].detector
    plain = detector.replace_panels([replace(detector[0], distortion=None)])
    xy = np.column_stack([rng.uniform(-5, 305, 500), rng.uniform(-5, 205, 500)])
    mm = plain.pixel_to_mm(0, xy)
    j, i = np.clip(np.floor(xy).astype(int), 0, [299, 199]).T
    assert np.allclose(detector.mm_to_pixel(0, mm) - xy, np.stack([dx[i, j], dy[i, j]], axis=1))
    assert np.allclose(detector.pixel_to_mm(0, xy), plain.pixel_to_mm(0, xy - np.stack([dx[i, j], dy[i, j]], axis=1)))


def test_smooth_maps_are_undone(tmp_path):
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    detector = with_distortion(
        experiments_with(tmp_path, 2 * np.sin(x / 80) * np.cos(y / 90), np.cos(x / 70) + y / 100)
    )[0].detector
    xy = np.column_stack([np.linspace(10, 290, 50), np.linspace(190, 10, 50)])
    there_and_back = detector.pixel_to_mm(0, detector.mm_to_pixel(0, xy * 0.172))
    # The map is taken in the middle of two shifts of two pixels; its slope is 1 in 40.
    assert np.abs(there_and_back / 0.172 - xy).max() < 0.1


def test_maps_come_with_the_file_and_are_read_when_needed(tmp_path):
    experiments = experiments_with(tmp_path, 2.0, None)
    write_experiments(experiments, tmp_path / "a.expt")
    first, second = read_experiments(tmp_path / "a.expt")
    assert first.detector is second.detector
    copy = pickle.loads(pickle.dumps(first.detector))
    for detector in (first.detector, copy):
        assert detector.mm_to_pixel(0, [[1.72, 1.72]]) == pytest.approx(np.array([[12.0, 10.0]]))
    moved = first.detector.with_frames(first.detector.d)
    assert moved.mm_to_pixel(0, [[1.72, 1.72]]) == pytest.approx(np.array([[12.0, 10.0]]))
    (tmp_path / "dx.npz").unlink()
    (third, _) = read_experiments(tmp_path / "a.expt")
    assert third.detector[0].image_size == (300, 200)
    with pytest.raises(FileFormatError, match="no such file; give the dx map"):
        third.detector.pixel_to_mm(0, [[1, 1]])


def test_without_maps_the_list_stays_as_it_is(tmp_path):
    experiments = experiments_with(tmp_path, None, None)
    assert with_distortion(experiments) is experiments
