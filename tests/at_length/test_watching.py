"""`spindle process watch=True`: while images are written, and the same in the end as for a finished series."""

from __future__ import annotations

import shutil
import threading
import time

import pytest

from spindle.cli.main import main

DATA = ("expt", "refl", "mtz")
SET = [
    "output.directory=.", "prefix=sm", "space_group=P 21 21 21", "wavelength=0.7", "distance=55", "beam_centre=243,310",
    "oscillation=1", "mosaic_spread=0.08", "b_factor=3", "mean_counts=800", "unit_cell=9.4,11.2,12.6,90,90,90", "n_images=30",
]  # fmt: skip


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["simulate", *SET]) == 0
    return sorted(folder.glob("*.cbf"))


class Detector(threading.Thread):
    """Writes images into a folder, one after the other."""

    def __init__(self, images, folder, pause=0.1, rest=None):
        super().__init__(daemon=True)
        self.images, self.folder, self.pause, self.rest = images, folder, pause, rest

    def run(self):
        for i, image in enumerate(self.images):
            if self.rest is not None and i == self.rest[0]:
                self.rest[1]()
            time.sleep(self.pause)
            shutil.copy(image, self.folder / f"{image.name}.part")
            (self.folder / f"{image.name}.part").rename(self.folder / image.name)


def in_folder(monkeypatch, folder, *words):
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert main(["process", *words]) == 0
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.suffix[1:] in DATA}


def test_a_watched_series_gives_what_a_finished_one_gives(images, tmp_path, monkeypatch, capsys):
    arriving = tmp_path / "arriving"
    arriving.mkdir()

    def until_processed():
        """Hold the last images back until those before them were processed."""
        end = time.monotonic() + 200
        while not (tmp_path / "watched" / "so_far" / "process.json").exists() and time.monotonic() < end:
            time.sleep(0.1)

    detector = Detector(images, arriving, rest=(25, until_processed))
    detector.start()
    template = f"template={arriving}/sm_####.cbf"
    words = ["watch=True", "watch_images=30", "watch_timeout=250"]
    watched = in_folder(monkeypatch, tmp_path / "watched", template, *words)
    detector.join()
    said = capsys.readouterr().out
    assert "Images 1 to 2" in said and "of the spots indexed" in said and "CC1/2" in said
    finished = in_folder(monkeypatch, tmp_path / "finished", template)
    assert watched == finished and "merged.mtz" in watched


def test_a_series_that_was_stopped_is_processed_as_far_as_it_went(images, tmp_path, monkeypatch, capsys):
    arriving = tmp_path / "arriving"
    arriving.mkdir()
    for image in images[:18]:
        shutil.copy(image, arriving)
    first = str(arriving / images[0].name)
    words = ["stop_after=index"]
    watched = in_folder(monkeypatch, tmp_path / "watched", first, "watch=True", "watch_timeout=3", *words)
    assert "The series is finished: 18 images" in capsys.readouterr().out
    names = [str(arriving / image.name) for image in images[:18]]
    assert watched == in_folder(monkeypatch, tmp_path / "finished", *names, *words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["template=none_####.cbf", "watch_timeout=0.2"], "none_####.cbf"),
        (["template=none_####.cbf", "image_range=1,9"], "watch_images="),
        (["template=none_####.cbf", "resume=True"], "leave start_at=, resume="),
    ],
)
def test_what_cannot_be_watched_is_refused(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    assert main(["process", "watch=True", *words]) == 2
    assert said in capsys.readouterr().err
