"""Plugins of strangers in whole runs: profile, formats, observers, and executors that send every task elsewhere."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

import spindle
from spindle.errors import FileFormatError, PluginError
from spindle.files import read_experiments, write_experiments
from spindle.images import ImageSequence
from spindle.images.opening import _told
from spindle.plugins import refresh
from spindle.table import Flag, MaskCode

# the crystal that is simulated unless told otherwise
KNOWN = {"unit_cell": (78.9, 78.9, 38.0, 90.0, 90.0, 90.0), "space_group": "P 4"}
TESTS = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module", autouse=True)
def strangers():
    """The trial plugins, for all tests of this file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(TESTS / "trial_plugins"))
        patch.setenv("PYTHONPATH", str(TESTS / "trial_plugins"))
        refresh()
        yield
    refresh()


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    spindle.run("simulate", n_images=12, output__directory=str(folder))
    return sorted(folder.glob("*.cbf"))


@pytest.fixture(scope="module")
def imported(images):
    return spindle.run("import", files=images).experiments


@pytest.fixture(scope="module")
def spots(imported):
    return spindle.run("find_spots", imported)


@pytest.fixture(scope="module")
def indexed(spots):
    found = spindle.run("index", spots.experiments, spots.reflections, **KNOWN)
    return found.experiments, found.reflections


def same(a, b, ignored=()):
    """Whether two tables hold the same numbers, shoeboxes included."""
    assert set(a) == set(b)
    assert len(a) == len(b)
    for name in set(a) - set(ignored):
        one, two = a[name], b[name]
        if name == "shoebox":
            one, two = one.data, two.data
        np.testing.assert_array_equal(one, two, err_msg=name)


EXECUTORS = {"method": "parcels", "nproc": 2}


def test_tasks_of_import_and_find_spots_leave_the_process(images, imported, spots):
    again = spindle.run("import", files=images, mp=EXECUTORS).experiments
    assert np.array_equal(again[0].detector[0].origin, imported[0].detector[0].origin)
    for more in ({}, {"spotfinder.filter.automatic_mask": True}, {"spotfinder.threshold.algorithm": "dispersion"}):
        expected = spots if not more else spindle.run("find_spots", imported, **more)
        found = spindle.run("find_spots", imported, **{"mp.method": "parcels", "mp.nproc": 2}, **more)
        assert len(found.reflections) > 100
        same(found.reflections, expected.reflections)


def test_tasks_of_find_spots_are_done_by_other_processes(imported, spots):
    found = spindle.run("find_spots", imported, **{"mp.method": "apart", "mp.nproc": 2})
    same(found.reflections, spots.reflections)


@pytest.mark.parametrize("more", [{}, {"background.algorithm": "simple"}, {"profile.fitting": False}], ids=str)
@pytest.mark.sampled(3)
def test_tasks_of_integrate_leave_the_process(indexed, more):
    more = {"prediction.d_min": 2.8, **more}
    expected = spindle.run("integrate", *indexed, **more).reflections
    found = spindle.run("integrate", *indexed, **{"mp.method": "parcels", "mp.nproc": 2}, **more).reflections
    assert len(found) > 50
    same(found, expected)


@pytest.mark.parametrize(
    ("program", "options"),
    [
        ("show", {"image_statistics.show_raw": True}),
        ("estimate_gain", {}),
        ("search_beam_position", {"method": "midpoint"}),
        ("search_beam_position", {"method": "default"}),
        ("find_rotation_axis", {}),
    ],
    ids=str,
)
@pytest.mark.sampled(2)
def test_tasks_of_programs_that_read_images_leave_the_process(program, options, imported, spots):
    by_spots = options.get("method") == "default" or program == "find_rotation_axis"
    given = (imported, spots.reflections) if by_spots else (imported,)
    expected = spindle.run(program, *given, **options)
    found = spindle.run(program, *given, **options, **{"mp.method": "parcels", "mp.nproc": 2})
    assert [t.rows for t in found.tables] == [t.rows for t in expected.tables]
    assert str(found.summary) == str(expected.summary)


@pytest.mark.parametrize("method", ["fft1d", "real_space_grid_search"])
@pytest.mark.sampled(2)
def test_tasks_of_index_leave_the_process(spots, method):
    options = {"indexing.method": method, **KNOWN}
    expected = spindle.run("index", spots.experiments, spots.reflections, **options).reflections
    options |= {"mp.method": "parcels", "mp.nproc": 2}
    found = spindle.run("index", spots.experiments, spots.reflections, **options).reflections
    same(found, expected)


def test_a_profile_model_with_keys_of_its_own_integrates(indexed):
    done = spindle.run("integrate", *indexed, **{"profile.algorithm": "disc", "prediction.d_min": 2.8})
    assert done.summary["n_summed"] > 50
    assert (done.summary["radius_px"], done.summary["depth"]) == ([3.0], [2.0])
    assert done.experiments[0].profile["shape"] == "round"
    ours = spindle.run("integrate", *indexed, **{"prediction.d_min": 2.8})
    assert {"sigma_b", "sigma_m"} <= set(ours.summary)


@pytest.mark.parametrize("mp", [{}, {"mp.method": "parcels", "mp.nproc": 2}], ids=["here", "pickled"])
def test_a_profile_model_with_masks_per_image_predictions_and_a_fitter_of_its_own_integrates(indexed, mp, caplog):
    options = {"profile.algorithm": "ball", "prediction.d_min": 2.8, "debug.output": True, "separate_files": False}
    done = spindle.run("integrate", *indexed, **options, **mp)
    table = done.reflections
    assert done.summary["n_profile_fitted"] > 50
    assert done.summary["width"] == [0.07]
    assert done.experiments[0].profile["n_learned"] == np.count_nonzero(table.has_flags(Flag.USED_IN_MODELLING)) > 5
    z = table["xyzcal.px"][:, 2]
    assert 2 < z.min() < z.max() < 10  # its own predictions: not the first and last two images
    boxes = table["shoebox"]
    for i in range(20):
        _, mask, _ = boxes.pixels(i)
        x0, _, y0, _, z0, _ = boxes.bbox[i]
        x, y, z = table["xyzcal.px"][i]
        dz, dy, dx = np.indices(mask.shape) + 0.5
        expected = ((dx + x0 - x) ** 2 + (dy + y0 - y) ** 2) / 9 + ((dz + z0 - z) / 2.5) ** 2 <= 1
        assert np.array_equal((mask & MaskCode.FOREGROUND) != 0, expected)
        assert len({m.sum() for m in expected}) > 1
    # counts within the ball less the background under it, by their own sum
    data, mask, background = boxes.pixels(0)
    own = (mask & 5) == 5
    assert table["intensity.prf.value"][0] == pytest.approx((data - background)[own].sum(), rel=1e-5)
    with caplog.at_level(logging.INFO, "spindle"):
        spindle.run("show", done.experiments)
    assert "    radius (pixels): 3" in caplog.text


@pytest.fixture
def variants(images, tmp_path):
    """One image under the names that the variants of CBF look for."""
    names = ("plain_1.cbf", "variant_1.cbf", "variant_two_1.cbf", "variant_three_1.cbf")
    return [Path(shutil.copy(images[0], tmp_path / name)) for name in names]


def pixels_of(path, **params):
    experiments = spindle.run("import", files=[path], **params).experiments
    return experiments, ImageSequence(experiments[0]).read(0)[0]


def test_the_most_special_format_reads_a_file(variants):
    plain, variant, second, _ = variants
    _, right = pixels_of(plain)
    for path, name in ((variant, "beamline"), (second, "beamline_two")):
        experiments, turned = pixels_of(path)
        assert np.array_equal(turned, right[::-1])
        assert ImageSequence(experiments[0]).reader(0)[0].format == name


def test_parameters_of_a_format_reach_it_now_and_later(variants, tmp_path):
    plain, variant, *_ = variants
    _, right = pixels_of(plain)
    experiments, pixels = pixels_of(variant, **{"format.name": "beamline", "format.beamline.flip": False})
    assert np.array_equal(pixels, right)
    write_experiments(experiments, tmp_path / "imported.expt")
    again = read_experiments(tmp_path / "imported.expt")
    assert np.array_equal(ImageSequence(again[0]).read(0)[0], right)


def test_a_format_that_fails_to_look_is_left_out_and_said_once(variants, install, caplog, monkeypatch):
    install("broken_plugins/sick_format")
    monkeypatch.delenv("SPINDLE_STRICT", raising=False)
    _told.clear()
    for _ in range(2):
        pixels_of(variants[0])
    for name in ("sick", "dumb"):
        lines = [
            r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING and repr(name) in r.getMessage()
        ]
        assert len(lines) == 1
        assert "outside-sick 1.0" in lines[0]
    assert any("outside_sick.py:9" in r.getMessage() for r in caplog.records)
    with pytest.raises(FileFormatError, match=r"several formats read this file \(beamline, rival\)"):
        pixels_of(variants[3])
    monkeypatch.setenv("SPINDLE_STRICT", "1")
    with pytest.raises((IndexError, PluginError)):
        pixels_of(variants[0])


def test_observers_have_parameters(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spindle.run("trial", **{"run.observers": "json_lines", "run.json_lines.file": "mine.jsonl"})
    assert json.loads((tmp_path / "mine.jsonl").read_text()) == {"finished": "trial"}


def test_an_observer_that_fails_is_told_of_once_and_nothing_is_lost(caplog):
    done = spindle.run("trial", **{"run.observers": "fails,listener"})
    assert done.summary["values"] == [0, 1, 4]
    lines = [r.getMessage() for r in caplog.records if "failed in" in r.getMessage()]
    assert len(lines) == 1
    for part in ("observer 'fails' of trial 0.1", "step_started", "KeyError", "trial_strangers.py:"):
        assert part in lines[0]


def test_a_wrapper_that_forgets_to_return_is_named(imported):
    with pytest.raises(PluginError, match=r"observer 'forgets' of trial 0.1: find_strong .* the wrapper returns None"):
        spindle.run("find_spots", imported, **{"run.observers": "forgets"})
