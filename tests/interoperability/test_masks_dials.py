"""Masks, gains and sums of images against DIALS 3.12, and masks that go there and back. Skipped without DIALS."""

from __future__ import annotations

import contextlib
import json

import numpy as np
import pytest
from spindle_program_estimate_gain.dispersion import median_dispersion

import spindle
from spindle.cli.main import main
from spindle.errors import FileFormatError
from spindle.files import read_experiments
from spindle.files.maps import DIALS_SCRIPT, read_mask, write_mask
from spindle.images import ImageSequence, open_image
from spindle.testing import shared_data
from spindle.testing.dials import dials, dials_python
from spindle_lib_readers.testing.mini_cbf import mini_cbf_header, write_mini_cbf

RULES = """
border = 3
d_min = 2
d_max = 30
resolution_range = 3,3.5
ice_rings.filter = True
untrusted {
  polygon = 50 50 60 53 300 310 55 60 80 400
}
untrusted {
  circle = 240 300 60
}
untrusted {
  pixel = 5 7
}
"""


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """A folder with two images of a sweep, imported by DIALS."""
    folder = tmp_path_factory.mktemp("masks")
    files = sorted(shared_data("lyso_small").glob("*.cbf.bz2"))[:2]
    dials("dials.import", *files, cwd=folder)
    return folder


def test_masks_are_those_of_dials(imported):
    (imported / "rules.phil").write_text(RULES)
    dials("dials.generate_mask", "imported.expt", "output.mask=theirs.mask", "rules.phil", cwd=imported)
    dials_python(DIALS_SCRIPT, "theirs.mask", "theirs.npz", cwd=imported)
    words = ["imported.expt", "rules.phil", "output.mask=ours.npz", "output.log=None", "run.record=None"]
    with contextlib.chdir(imported):
        assert main(["generate_mask", *words]) == 0
    detector = read_experiments(imported / "imported.expt")[0].detector
    ours, theirs = (read_mask(imported / name, detector) for name in ("ours.npz", "theirs.npz"))
    assert np.array_equal(ours[0], theirs[0]) and 0.2 < ours[0].mean() < 0.9


def test_masks_go_to_dials_and_back(imported):
    rng = np.random.default_rng(1)
    detector = read_experiments(imported / "imported.expt")[0].detector
    mask = rng.random((detector[0].image_size[1], detector[0].image_size[0])) > 0.01
    write_mask(imported / "mine.npz", [mask])
    dials_python(DIALS_SCRIPT, "mine.npz", "mine.mask", cwd=imported)
    dials("dials.apply_mask", "imported.expt", "input.mask=mine.mask", cwd=imported)
    assert json.loads((imported / "masked.expt").read_text())["imageset"][0]["mask"].endswith("mine.mask")
    text = "from dxtbx.model.experiment_list import ExperimentList as E; s = E.from_file('masked.expt')[0].imageset"
    inside = int(dials_python("-c", f"{text}; print(s.get_mask(0)[0].count(True))", cwd=imported).split()[-1])
    image = open_image(next(shared_data("lyso_small").glob("*_0001.cbf.bz2"))).read()[0]
    assert inside == np.count_nonzero(mask & (image >= 0))
    # An experiment list of DIALS with such a mask says what to do ...
    experiments = read_experiments(imported / "masked.expt")
    with pytest.raises(FileFormatError, match=r"mine\.mask: this is a Python pickle.*dials_mask_to_npz\.py"):
        spindle.run("find_spots", experiments)
    # ... and doing it helps.
    dials_python(DIALS_SCRIPT, "mine.mask", "back.npz", cwd=imported)
    masked = spindle.run("apply_mask", experiments, files=[imported / "back.npz"]).experiments
    before = ImageSequence(read_experiments(imported / "imported.expt")[0]).mask()
    assert np.array_equal(ImageSequence(masked[0]).mask(), before & mask)


def test_median_dispersion_is_the_gain_of_dials(imported):
    text = dials("dials.estimate_gain", "imported.expt", "kernel_size=5,12", cwd=imported)
    images = ImageSequence(read_experiments(imported / "imported.expt")[0])
    found = median_dispersion(images, 0, (5, 12))
    assert f"Estimated gain: {found.gain:.2f}" in text
    assert "q1, q2, q3: {:.2f}, {:.2f}, {:.2f}".format(*found.quartiles) in text


def test_sums_are_those_of_dials(tmp_path):
    rng = np.random.default_rng(6)
    paths = []
    for i in range(4):  # as large as a Pilatus 100K, which DIALS insists on
        pixels = rng.poisson(3.0, (195, 487)).astype(np.int32)
        pixels[9, 9] = -2
        header = mini_cbf_header(Start_angle=f"{0.5 * i} deg.", Detector="PILATUS 100K, S/N 1-0001")
        paths.append(write_mini_cbf(tmp_path / f"t_{i + 1:04d}.cbf", pixels, header))
    dials("dials.merge_cbf", *paths, "output.image_prefix=theirs_", cwd=tmp_path)
    spindle.run("merge_cbf", files=paths, output__image_prefix=str(tmp_path / "ours_"))
    for i in (1, 2):
        (a,), (b,) = open_image(tmp_path / f"ours_000{i}.cbf").read(), open_image(tmp_path / f"theirs_{i}.cbf").read()
        assert np.array_equal(a, b)
