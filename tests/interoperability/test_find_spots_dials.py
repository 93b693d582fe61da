"""Spots of `spindle find_spots` against those of dials.find_spots 3.12, value by value. Skipped without DIALS.

DIALS 3.12 has the older rules for masked pixels, so that ours runs with ``legacy_erosion`` or ``legacy_pixels``.
"""

from __future__ import annotations

import re

import numpy as np
import pytest

import spindle
from spindle.files import read_reflections, write_experiments
from spindle.testing import shared_data
from spindle.testing.dials import dials

CASES = [
    (),
    ("spotfinder.threshold.algorithm=dispersion", "spotfinder.threshold.dispersion.kernel_size=4,5"),
    ("spotfinder.threshold.dispersion.gain=1.3", "spotfinder.threshold.dispersion.min_local=0"),
    (
        "spotfinder.filter.d_min=3",
        "spotfinder.filter.d_max=20",
        "spotfinder.filter.border=5",
        "spotfinder.scan_range=2,4",
    ),
    ("spotfinder.filter.ice_rings.filter=True", "spotfinder.region_of_interest=100,300,50,400"),
    ("spotfinder.filter.untrusted.circle=240,300,60", "spotfinder.filter.min_spot_size=5"),
    ("spotfinder.threshold.algorithm=radial_profile", "spotfinder.threshold.radial_profile.blur=wide"),
]


def compare(files, words, folder):
    """Both programs on the same images: everything in both tables must be the same."""
    # DIALS's mean depth in the sensor, since resolution limits are compared pixel by pixel.
    # DIALS takes all sensors for those of X-rays, also under a beam of electrons.
    as_dials = {"geometry.parallax": "dials", "geometry.beam.probe": "x-ray"}
    experiments = spindle.run("import", files=files, **as_dials).experiments
    write_experiments(experiments, folder / "imported.expt")
    text = dials("dials.find_spots", "imported.expt", "nproc=1", *words, cwd=folder)
    theirs = read_reflections(folder / "strong.refl")
    options = dict(word.split("=") for word in words)
    legacy = {"dispersion": None, "radial_profile": "legacy_pixels"}.get(
        options.get("spotfinder.threshold.algorithm", ""), "legacy_erosion"
    )
    if legacy:
        options[legacy] = "True"
    result = spindle.run("find_spots", experiments, **options)
    ours = result.reflections
    counts = [int(n) for n in re.findall(r"Found (\d+) strong pixels on image", text)]
    assert result.summary["n_strong_pixels"] == sum(counts)
    assert sorted(ours.columns) == sorted(theirs.columns)
    assert ours.identifiers == theirs.identifiers
    for name in ours.columns:
        if name == "shoebox":
            for part in ("panel", "bbox", "offsets", "data", "mask", "background"):
                assert np.array_equal(getattr(ours[name], part), getattr(theirs[name], part)), part
        else:
            assert ours[name].dtype == theirs[name].dtype, name
            assert np.allclose(ours[name], theirs[name], rtol=1e-9, atol=1e-9), name
    return len(ours)


@pytest.mark.parametrize("words", CASES, ids=lambda words: words[0] if words else "defaults")
def test_rotation_images(words, tmp_path):
    files = sorted(shared_data("lyso_small").glob("*.cbf.bz2"))[:5]
    assert compare(files, words, tmp_path) > 100


def test_stills_of_a_grid_scan(tmp_path):
    files = sorted(shared_data("thaumatin_grid").glob("*.cbf.bz2"))[:2]
    assert compare(files, (), tmp_path) > 1000


def test_detector_of_many_panels(tmp_path):
    assert compare([shared_data("images") / "DLS_I23_P12M_thau_00001.cbf.gz"], (), tmp_path) > 100


@pytest.mark.parametrize("name", ["TIMEPIX_SU_512-stdgoni_0001.img.bz2", "dlsnxs2cbf_therm_0001.cbf.gz"])
def test_images_of_other_detectors(name, tmp_path):
    assert compare([shared_data("images") / name], (), tmp_path) > 10
