"""Stills in one command: what comes out, what is left out and why, whatever else is given."""

from __future__ import annotations

import json

import numpy as np
import pytest

import spindle
from spindle.cli.main import main
from spindle.errors import UserError
from spindle.models import Experiments
from spindle.testing import PluginContract
from spindle.testing.simulated import simulate_sweep

CELL = {"unit_cell": (38.0, 46.0, 57.0, 90.0, 90.0, 90.0), "space_group": "P 21 21 21"}
STILLS = {
    "scan__stills": True,
    "crystal__mosaic_spread": 0.15,
    "structure__mean_counts": 200.0,
    "structure__d_min": 2.2,
}


class TestStillsProcess(PluginContract):
    slot = "program"
    name = "stills_process"


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    """Nine stills, three of them without crystals, the others with one each."""
    return simulate_sweep(tmp_path_factory.mktemp("stills"), scan__n_images=9, scan__hits=0.7, run__seed=3, **STILLS)


@pytest.fixture(scope="module")
def result(truth):
    return spindle.run("stills_process", files=truth.images, **CELL)


def hits(truth):
    return np.flatnonzero(truth.arrays["volume_0"])


def test_every_crystal_is_integrated_and_nothing_else(truth, result):
    assert 0 < len(hits(truth)) < 9
    images = [e.scan.image_range[0] - 1 for e in result.experiments]
    assert images == hits(truth).tolist()
    assert result.summary["outcomes"] == {"indexed": len(images), "no spots": 9 - len(images)}
    assert result.summary["n_crystals_integrated"] == len(images)
    for experiment in result.experiments:
        # so few crystals leave the distance to the headers, which are wrong by 0.4 %
        assert experiment.crystal.cell[:3] == pytest.approx((38.0, 46.0, 57.0), rel=1e-2)
        assert experiment.profile["sigma_m"] == pytest.approx(np.degrees(truth.arrays["rocking_0"].mean()), rel=0.2)


def test_the_detector_is_where_it_was_simulated(truth, result):
    (detector,) = result.experiments.unique("detector")
    beam = result.experiments[0].beam
    headers = spindle.run("import", files=truth.images).experiments[0]
    true = truth.models["detector"]["beam_centre_px"]
    off = np.linalg.norm(np.subtract(headers.detector.beam_centre_px(headers.beam.s0, panel=0), true))
    now = np.linalg.norm(np.subtract(detector.beam_centre_px(beam.s0, panel=0), true))
    assert now < 0.15 < off


def test_the_steps_one_by_one_give_the_same_spots(truth, result):
    imported = spindle.run("import", files=truth.images).experiments
    some = Experiments(imported[i] for i in hits(truth))
    spots = spindle.run("find_spots", some).reflections
    assert sum(o for o in result.summary["outcomes"].values()) == 9
    assert result.summary["n_images"] == 9 and len(spots) > 300


@pytest.mark.long
def test_results_do_not_depend_on_workers_or_blocks(truth, result):
    again = spindle.run(
        "stills_process", files=truth.images, **CELL, **{"mp.method": "threads", "mp.nproc": 2, "images_per_task": 2}
    )
    assert np.array_equal(again.reflections["intensity.sum.value"], result.reflections["intensity.sum.value"])
    assert again.experiments.identifiers == result.experiments.identifiers


def test_files_and_a_run_that_goes_on_from_them(truth, result, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    some = [str(path) for path in truth.images[:5]]
    words = ["unit_cell=38,46,57,90,90,90", "space_group=P212121"]
    assert main(["stills_process", *some, *words, "dispatch.integrate=False"]) == 0
    said = capsys.readouterr().out
    assert "Next: spindle stills_process indexed.expt indexed.refl" in said
    assert not (tmp_path / "integrated.expt").exists()
    told = json.loads((tmp_path / "stills_process.json").read_text())
    assert [one["outcome"] for one in told["images"]].count("indexed") == sum(i < 5 for i in hits(truth))
    assert main(["stills_process", "indexed.expt", "indexed.refl"]) == 0
    assert "Next: spindle scale_stills integrated.expt integrated.refl" in capsys.readouterr().out
    assert len(spindle.read_experiments("integrated.expt")) == sum(i < 5 for i in hits(truth))


def test_what_is_no_image_is_left_out_and_named(truth, tmp_path):
    copy = [(tmp_path / path.name) for path in truth.images[:4]]
    for path, old in zip(copy, truth.images[:4], strict=True):
        path.write_bytes(old.read_bytes())
    imported = spindle.run("import", files=copy).experiments
    copy[1].write_bytes(copy[1].read_bytes()[:3000])
    found = spindle.run("stills_process", imported, **CELL)
    assert found.summary["outcomes"]["cannot be read"] == 1
    with pytest.raises(UserError, match=copy[1].name):
        spindle.run("stills_process", imported, **CELL, **{"dispatch.squash_errors": False})


def test_the_hit_finder_and_images_without_crystals(truth):
    last = int(hits(truth)[-1])
    blank = [path for i, path in enumerate(truth.images) if i not in hits(truth)]
    with pytest.raises(UserError, match=r"none of \d images was indexed"):
        spindle.run("stills_process", files=blank, **CELL)
    with pytest.raises(UserError, match="more than 20 spots"):
        spindle.run(
            "stills_process", files=[truth.images[last]], **CELL, **{"hit_finder.maximum_number_of_reflections": 20}
        )


def test_one_still(truth):
    found = spindle.run("stills_process", files=[truth.images[int(hits(truth)[0])]], **CELL)
    assert len(found.experiments) == 1 and found.summary["n_crystals_integrated"] == 1


def test_detectors_of_several_panels(tmp_path):
    several = simulate_sweep(
        tmp_path, scan__n_images=3, detector__model="300K", detector__panels="modules", output__format="full_cbf",
        run__seed=4, **STILLS,
    )  # fmt: skip
    found = spindle.run("stills_process", files=several.images, **CELL)
    (detector,) = found.experiments.unique("detector")
    assert len(found.experiments) == 3 and len(detector) == 3
    assert np.bincount(found.reflections["panel"], minlength=3).min() > 50


def test_a_part_of_the_images(truth):
    found = spindle.run(
        "stills_process",
        files=truth.images,
        **CELL,
        **{"max_images": 6, "process_percent": 50, "dispatch.integrate": False},
    )
    assert found.summary["n_images"] == 3


def test_rotation_images_are_refused(tmp_path):
    turned = simulate_sweep(tmp_path, scan__n_images=2, structure__d_min=4.0)
    with pytest.raises(UserError, match="were rotated"):
        spindle.run("stills_process", files=turned.images)


def test_reflections_without_crystals_are_refused(truth):
    imported = spindle.run("import", files=truth.images[:2]).experiments
    spots = spindle.run("find_spots", imported).reflections
    with pytest.raises(UserError, match="experiments that have crystals"):
        spindle.run("stills_process", imported, spots)
