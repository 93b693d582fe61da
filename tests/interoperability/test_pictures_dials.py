"""Pictures and spot counts of DIALS 3.12 on the same images and spots. Skipped without DIALS."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import spindle
from spindle.files import read_experiments, read_reflections
from spindle.testing import shared_data
from spindle.testing.dials import dials

COUNTS = ("n_spots_total", "n_spots_no_ice", "n_spots_4A", "total_intensity")


def picture(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


@pytest.mark.parametrize(
    ("words", "tolerance"),
    [
        (("brightness=60", "saturation=500"), 0),
        (("colour_scheme=rainbow",), 0),
        # The level of the contrast lies between two of the float32 values of DIALS.
        (("display=mean", "kernel_size=2,4"), 1),
    ],
)
def test_pictures_are_the_same(words, tolerance, tmp_path):
    image = shared_data("lyso_small") / "lyso_small_0001.cbf.bz2"
    dials("dials.export_bitmaps", image, "output.file=theirs.png", *words, cwd=tmp_path)
    options = dict(word.split("=") for word in words)
    spindle.run("export_bitmaps", files=[image], **{"output.file": str(tmp_path / "ours.png"), **options})
    assert np.abs(picture(tmp_path / "ours.png") - picture(tmp_path / "theirs.png")).max() <= tolerance


def test_spot_counts_are_the_same(tmp_path):
    folder = shared_data("dials_processed") / "quartz_processed"
    files = folder / "imported.expt", folder / "strong.refl"
    dials("dials.spot_counts_per_image", *files, "json=theirs.json", cwd=tmp_path)
    theirs = json.loads((tmp_path / "theirs.json").read_text())
    result = spindle.run(
        "spot_counts_per_image",
        read_experiments(files[0]),
        read_reflections(files[1]),
        json=str(tmp_path / "ours.json"),
    )
    ours = tmp_path / "ours.json"
    result.files[str(ours)](ours)
    ours = json.loads(ours.read_text())
    assert set(ours) == set(theirs)
    for name in COUNTS:
        assert ours[name] == pytest.approx(theirs[name], abs=1e-6)
