"""`spindle find_spots watch=True`: series that are still being written."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from spindle_program_find_spots import watching

import spindle.execution
from spindle.errors import FileFormatError, ParameterError, UserError
from spindle.images import ArrivingImages, ImageSequence, SeriesEnded
from spindle.models import Experiments
from spindle_lib_readers.testing.mini_cbf import write_mini_cbf
from spindle_lib_readers.testing.nexus import link_data, write_nxmx
from spindle_lib_readers.testing.spot_images import SWEEP_SHAPE, render_spots, write_spot_sweep

TIMEOUT = 3.0


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return write_spot_sweep(tmp_path_factory.mktemp("finished"), render_spots()[0])


@pytest.fixture(autouse=True)
def _nothing_is_known():
    watching._found.clear()


def moved_to(experiments, folder):
    """The experiments with images in another folder."""
    imageset = experiments[0].imageset
    template = str(folder / Path(imageset.template).name)
    return experiments.with_model(imageset, replace(imageset, template=template))


class Writer(threading.Thread):
    """Copies images one after the other, each in two halves."""

    def __init__(self, experiments, folder, n_images, pause=0.03):
        super().__init__(daemon=True)
        images = ImageSequence(experiments[0])
        self.sources = [Path(images.file_of(i)[0]) for i in range(n_images)]
        self.folder, self.pause = folder, pause
        self.begun = []

    def run(self):
        for source in self.sources:
            self.begun.append(time.monotonic())
            content = source.read_bytes()
            with open(self.folder / source.name, "wb") as stream:
                stream.write(content[: len(content) // 2])
                stream.flush()
                time.sleep(self.pause)
                stream.write(content[len(content) // 2 :])


def run(experiments, **params):
    return spindle.execution.run("find_spots", experiments, **{"watch": True, "watch_timeout": TIMEOUT, **params})


def assert_same(one, other):
    assert sorted(one) == sorted(other) and len(one) == len(other)
    for name in one:
        if name != "shoebox":
            assert np.array_equal(one[name], other[name])
    assert np.array_equal(one["shoebox"].data, other["shoebox"].data)


@pytest.mark.parametrize("method", ["serial", "threads"])
def test_spots_of_a_series_that_is_written_are_those_of_the_finished_one(finished, tmp_path, method):
    n_images = finished[0].scan.n_images
    writer = Writer(finished, tmp_path, n_images)
    shutil.copy(writer.sources[0], tmp_path)
    begun = moved_to(finished.with_model(finished[0].scan, finished[0].scan.slice(1, 1)), tmp_path)
    writer.start()
    params = {"mp.method": method, "mp.nproc": 3}
    result = run(begun, watch_images=n_images, **params)
    writer.join()
    expected = spindle.execution.run("find_spots", moved_to(finished, tmp_path))
    assert_same(result.reflections, expected.reflections)
    assert result.experiments[0].scan.n_images == n_images


def test_a_series_ends_when_nothing_comes_for_a_while(finished, tmp_path, caplog):
    writer = Writer(finished, tmp_path, 7)
    writer.start()
    writer.join()
    with caplog.at_level(logging.INFO, logger="spindle"):
        result = run(moved_to(finished, tmp_path), watch_timeout=0.5, **{"output.experiments": "x.expt"})
    assert result.experiments[0].scan.image_range == (1, 7) and "ends with image 7" in caplog.text
    cut = moved_to(finished.with_model(finished[0].scan, finished[0].scan.slice(1, 7)), tmp_path)
    assert_same(result.reflections, spindle.execution.run("find_spots", cut).reflections)


def test_several_series_end_each_where_it_ends(tmp_path):
    """Two sweeps, of which the first is stopped."""
    sweeps = [write_spot_sweep(tmp_path, render_spots(seed)[0], name) for seed, name in enumerate(("a", "b"))]
    both = Experiments([replace(sweeps[0][0], identifier="a"), replace(sweeps[1][0], identifier="b")])
    n_images = both[0].scan.n_images
    for number in range(10, n_images + 1):
        (tmp_path / f"a_{number:04d}.cbf").unlink()
    result = run(both, watch_timeout=0.5, **{"output.experiments": "x.expt"})
    assert [e.scan.n_images for e in result.experiments] == [9, n_images]
    whole = spindle.execution.run("find_spots", both.with_model(both[0].scan, both[0].scan.slice(1, 9)))
    assert_same(result.reflections, whole.reflections)
    assert set(result.reflections["id"]) == {0, 1}


def test_what_was_found_while_images_came_is_not_searched_again(finished, tmp_path, monkeypatch):
    first = run(finished, watch_images=finished[0].scan.n_images)

    whole = ImageSequence.read

    def read(self, index, out=None):
        assert index == 0, "read again"  # the first is always looked at
        return whole(self, index, out)

    monkeypatch.setattr(ImageSequence, "read", read)
    assert_same(run(finished, watch_images=finished[0].scan.n_images).reflections, first.reflections)
    with pytest.raises(AssertionError, match="read again"):
        run(finished, watch_images=finished[0].scan.n_images, **{"threshold.algorithm": "dispersion"})


def test_images_that_were_written_anew_are_searched_again(finished, tmp_path):
    n_images = finished[0].scan.n_images
    writer = Writer(finished, tmp_path, n_images, pause=0)
    writer.run()
    series = moved_to(finished, tmp_path)
    run(series, watch_images=n_images)
    blank = np.ones((SWEEP_SHAPE[1], SWEEP_SHAPE[2]), np.int32)
    for source in writer.sources:
        write_mini_cbf(tmp_path / source.name, blank, compress=False)
    assert len(run(series, watch_images=n_images).reflections) == 0


def test_masks_that_need_all_images_wait_for_them(finished, tmp_path):
    writer = Writer(finished, tmp_path, finished[0].scan.n_images, pause=0.01)
    shutil.copy(writer.sources[0], tmp_path)
    writer.start()
    settings = {"spotfinder.filter.automatic_mask": True}
    result = run(moved_to(finished, tmp_path), watch_images=finished[0].scan.n_images, **settings)
    expected = spindle.execution.run("find_spots", moved_to(finished, tmp_path), **settings)
    assert_same(result.reflections, expected.reflections)


def test_a_series_that_never_begins_is_said(finished, tmp_path):
    images = ArrivingImages(moved_to(finished, tmp_path)[0], 0.2)
    began = time.monotonic()
    with pytest.raises(SeriesEnded, match=r"image 3 of the series was not written within 0\.2 s"):
        images.read(2)
    assert 0.2 < time.monotonic() - began < 2


def test_a_missing_image_within_a_series_is_no_end(finished, tmp_path):
    writer = Writer(finished, tmp_path, 5, pause=0)
    writer.start()
    writer.join()
    (tmp_path / writer.sources[2].name).unlink()
    with pytest.raises(FileFormatError, match="no such file"):
        ArrivingImages(moved_to(finished, tmp_path)[0], 0.2).read(2)


def test_an_image_that_stays_half_written_is_a_fault(finished, tmp_path):
    images = ArrivingImages(moved_to(finished, tmp_path)[0], 0.3)
    whole = Path(ImageSequence(finished[0]).file_of(0)[0])
    (tmp_path / whole.name).write_bytes(whole.read_bytes()[:-20000])
    with pytest.raises(FileFormatError, match=whole.name):
        images.read(0)


def test_the_number_of_images_that_came_is_counted(finished, tmp_path):
    images = ArrivingImages(moved_to(finished, tmp_path)[0], 0.3)
    assert images.n_written() == 0
    writer = Writer(finished, tmp_path, 5, pause=0)
    writer.run()
    assert images.n_written() == 5


def test_a_watched_run_names_a_file_for_its_experiments(finished):
    with pytest.raises(ParameterError, match=r"output\.experiments=watched\.expt"):
        run(finished)
    with pytest.raises(ParameterError, match="no meaning without watch=True"):
        spindle.execution.run("find_spots", finished, watch_images=3)
    with pytest.raises(UserError, match="nothing to watch"):
        run(moved_to(finished, Path("/nowhere")), watch_timeout=0.2, watch_images=3)


WRITE_GROWING = """
import sys, time
import h5py, numpy as np
path, pixels = sys.argv[1], np.load(sys.argv[2])
with h5py.File(path, "r+", libver=("v110", "v110")) as file:
    file.swmr_mode = True
    data = file["entry/data/data"]
    print("ready", flush=True)
    sys.stdin.readline()
    for i in range(len(data), len(pixels)):
        time.sleep(0.02)
        data.resize(i + 1, axis=0)
        data[i] = pixels[i]
        data.flush()
"""


def import_(path, **params):
    return spindle.execution.run("import", files=[path], **params).experiments


def test_images_of_a_file_that_grows_are_found_as_they_come(tmp_path):
    pixels = render_spots()[0].astype(np.uint16)
    angles = np.arange(len(pixels)) * 0.1
    whole = write_nxmx(tmp_path / "whole.nxs", pixels, omega=angles)
    growing = write_nxmx(tmp_path / "growing.nxs", pixels[:2], omega=angles, maxshape=(None, *pixels.shape[1:]))
    np.save(tmp_path / "pixels.npy", pixels)
    writer = subprocess.Popen(
        [sys.executable, "-P", "-c", WRITE_GROWING, str(growing), str(tmp_path / "pixels.npy")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with writer:
        assert writer.stdout.readline() == "ready\n"
        begun = import_(growing)
        assert begun[0].scan.n_images == 2
        writer.stdin.write("\n")
        writer.stdin.flush()
        found = run(begun, watch_images=len(pixels), watch_timeout=20.0).reflections
    assert writer.returncode == 0
    assert_same(found, spindle.execution.run("find_spots", import_(whole)).reflections)


def test_images_in_further_files_are_found_as_these_come(tmp_path):
    pixels = render_spots()[0].astype(np.uint16)
    names = [f"data_{i:06d}" for i in (1, 2, 3)]
    master = link_data(write_nxmx(tmp_path / "series_master.h5", pixels), pixels, names)
    expected = spindle.execution.run("find_spots", import_(master)).reflections
    later = [tmp_path / f"series_master_{name}.h5" for name in names[1:]]
    for path in later:
        path.rename(path.with_suffix(".hidden"))
    with pytest.raises(FileFormatError, match="no such file"):
        import_(master)
    begun = import_(master, **{"format.growing": True})
    assert begun[0].scan.n_images == 8

    def write():
        for path in later:
            time.sleep(0.3)
            path.with_suffix(".hidden").rename(path)

    writer = threading.Thread(target=write)
    writer.start()
    assert_same(run(begun, watch_images=len(pixels), watch_timeout=20.0).reflections, expected)
    writer.join()
