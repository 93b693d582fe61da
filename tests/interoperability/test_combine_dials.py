"""Experiments joined, split and cut, against DIALS 3.12 on the same files. Skipped without DIALS."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest

from spindle.cli.main import main
from spindle.files import read_experiments, read_reflections
from spindle.testing import shared_data
from spindle.testing.dials import dials


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder, and files in it by the name of the set: stills of 5 crystals, two wedges."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def stills():
    data = shared_data("dials_processed/ssx_CuNiR_test_data")
    return [str(data / "indexed.expt"), str(data / "indexed.refl")]


def wedges():
    data = shared_data("dials_processed/l_cysteine_narrow_wedge")
    return [str(data / f"{n}_integrated.{kind}") for kind in ("expt", "refl") for n in (11, 23)]


def spindle_run(program, *words):
    assert main([program, *map(str, words), "run.record=None", "overwrite=True"]) == 0


def same_models(ours, theirs):
    """Whether two experiment files hold the same models, to 1e-9, shared alike."""
    one, two = json.loads(Path(ours).read_text()), json.loads(Path(theirs).read_text())
    assert [e["identifier"] for e in one["experiment"]] == [e["identifier"] for e in two["experiment"]]
    for mine, other in zip(one["experiment"], two["experiment"], strict=True):
        for name in ("beam", "detector", "goniometer", "scan", "crystal", "imageset"):
            assert mine.get(name) == other.get(name), name
    for a, b in zip(read_experiments(ours), read_experiments(theirs), strict=True):
        assert np.allclose(a.beam.s0, b.beam.s0, rtol=0, atol=1e-9)
        assert np.allclose(a.detector.d, b.detector.d, rtol=0, atol=1e-9)
        assert np.allclose(a.crystal.A, b.crystal.A, rtol=0, atol=1e-9)
        assert (a.scan is None) == (b.scan is None) and (a.goniometer is None) == (b.goniometer is None)
        if a.scan is None:
            continue
        for name in ("rotation_axis", "fixed_rotation", "setting_rotation"):
            assert np.allclose(getattr(a.goniometer, name), getattr(b.goniometer, name), rtol=0, atol=1e-9)
        assert a.scan.image_range == b.scan.image_range
        assert np.allclose(a.scan.oscillation_deg, b.scan.oscillation_deg, rtol=0, atol=1e-9)
        assert np.allclose(a.scan.exposure_times, b.scan.exposure_times)
        points = a.crystal.A_at_scan_points
        assert (points is None) == (b.crystal.A_at_scan_points is None)
        assert points is None or np.allclose(points, b.crystal.A_at_scan_points, rtol=0, atol=1e-9)


def same_rows(ours, theirs, imagesets=True):
    """Whether two reflection files hold the same rows, in any order."""
    one, two = read_reflections(ours), read_reflections(theirs)
    assert len(one) == len(two) and one.identifiers == two.identifiers and set(one) == set(two)
    orders = [np.lexsort([*t["xyzobs.px.value"].T, *t["xyzcal.px"].T, t["id"]]) for t in (one, two)]
    names = ["id", "panel", "miller_index", "flags", "xyzobs.px.value", *(["imageset_id"] if imagesets else [])]
    for name in names:
        assert np.array_equal(one[name][orders[0]], two[name][orders[1]]), name


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["output.min_reflections_per_experiment=36"],
        ["output.max_reflections_per_experiment=62", "output.delete_shoeboxes=True"],
        ["output.n_subset=2", "output.n_subset_method=n_refl"],
        ["output.n_subset=2", "output.n_subset_method=significance_filter"],
        ["reference_from_experiment.crystal=1", "reference_from_experiment.scan=0"],
    ],
)
def test_combined_stills_are_those_of_dials(folder, words):
    dials("dials.combine_experiments", *stills(), *words, cwd=folder)
    spindle_run(
        "combine_experiments",
        *stills(),
        *words,
        "output.experiments_filename=our.expt",
        "output.reflections_filename=our.refl",
    )
    same_models("our.expt", "combined.expt")
    same_rows("our.refl", "combined.refl", imagesets=False)  # they keep the numbers of image sets that are no more


@pytest.mark.parametrize(
    "words",
    [
        [],
        [
            "reference_from_experiment.detector=1", "reference_from_experiment.beam=0", "reference_from_experiment.goniometer=0",
            "reference_from_experiment.compare_models=False",
        ],
        ["reference_from_experiment.average_detector=True"],
    ],
)  # fmt: skip
def test_combined_wedges_are_those_of_dials(folder, words):
    if "average" in "".join(words):  # detectors that differ
        files = wedges()
        content = json.loads(Path(files[1]).read_text())
        panel = content["detector"][0]["panels"][0]
        panel["origin"][0] += 0.3
        angle = 2e-3
        fast = np.array(panel["fast_axis"])
        slow = np.array(panel["slow_axis"])
        panel["fast_axis"] = (np.cos(angle) * fast + np.sin(angle) * slow).tolist()
        panel["slow_axis"] = (np.cos(angle) * slow - np.sin(angle) * fast).tolist()
        (folder / "moved.expt").write_text(json.dumps(content))
        files[1] = "moved.expt"
    else:
        files = wedges()
    dials("dials.combine_experiments", *files, *words, cwd=folder)
    spindle_run(
        "combine_experiments",
        *files,
        *words,
        "output.experiments_filename=our.expt",
        "output.reflections_filename=our.refl",
    )
    same_models("our.expt", "combined.expt")
    same_rows("our.refl", "combined.refl")
    with contextlib.suppress(FileNotFoundError):
        assert "Experiment" in dials("dials.show", "our.expt", "our.refl", cwd=folder)


@pytest.mark.parametrize("words", [[], ["output.chunk_size=2"], ["by_wavelength=True"]])
def test_parts_are_those_of_dials(folder, words):
    (folder / "theirs").mkdir()
    dials("dials.split_experiments", *stills(), *words, cwd=folder / "theirs")
    spindle_run("split_experiments", *stills(), *words)
    names = sorted(p.name for p in (folder / "theirs").glob("split*"))
    assert names == sorted(p.name for p in folder.glob("split*"))
    for name in names:
        if name.endswith("expt"):
            same_models(name, f"theirs/{name}")
        else:
            same_rows(name, f"theirs/{name}", imagesets=False)
    dials("dials.combine_experiments", *names, cwd=folder)


@pytest.mark.parametrize("words", [["image_range=11,20"], ["image_range=5,5"], ["block_size=33"]])
def test_slices_are_those_of_dials(folder, words):
    data = shared_data("dials_processed/quartz_processed")
    files = [data / "refined.expt", data / "refined.refl"]
    (folder / "theirs").mkdir()
    dials("dials.slice_sequence", *files, *words, cwd=folder / "theirs")
    spindle_run("slice_sequence", *files, *words)
    for theirs in (folder / "theirs").glob("refined_*"):
        if theirs.suffix == ".expt":
            pairs = zip(read_experiments(theirs.name), read_experiments(theirs), strict=True)
            for a, b in pairs:
                assert a.scan.image_range == b.scan.image_range
                assert np.allclose(a.scan.oscillation_deg, b.scan.oscillation_deg, atol=1e-9)
                assert np.allclose(a.crystal.A_at_scan_points, b.crystal.A_at_scan_points, rtol=0, atol=1e-9)
                assert np.allclose(a.crystal.A, b.crystal.A, rtol=0, atol=1e-9)
        else:
            a, b = read_reflections(theirs.name), read_reflections(theirs)
            orders = [np.lexsort([*t["xyzobs.px.value"].T, t["id"]]) for t in (a, b)]
            for name in ("id", "xyzobs.px.value", "miller_index", "bbox"):
                assert np.array_equal(a[name][orders[0]], b[name][orders[1]])
    names = [p.name for p in folder.glob("refined_*") if p.suffix in (".expt", ".refl")]
    assert "Crystal" in dials("dials.show", *names, cwd=folder)


@pytest.mark.parametrize("words", [[], ["comparison=sequential"], ["space_group=P222"]])
def test_rotations_between_crystals_are_those_of_dials(folder, capsys, words):
    theirs = dials("dials.compare_orientation_matrices", stills()[0], *words, cwd=folder)
    spindle_run("compare_orientation_matrices", stills()[0], *words)
    ours = capsys.readouterr().out
    for start in ("Change of basis op", "{", " {"):
        one, two = ([line for line in text.splitlines() if line.startswith(start)] for text in (ours, theirs))
        assert [x.replace("-0.000", "0.000") for x in one] == [x.replace("-0.000", "0.000") for x in two] != []
    angles = [[abs(float(x.split()[2])) for x in t.splitlines() if x.startswith("Rotation of")] for t in (ours, theirs)]
    assert np.allclose(angles[0], angles[1], atol=0.0011)


@pytest.mark.parametrize(
    ("middle", "words"),
    [
        ([0, 0, -1], []),
        ([0, 0, -1], ["align.mode=cusp", "space_group=P622"]),
        ([0.914, 0.279, -0.297], ["align.crystal.frame=direct"]),
        ([0, 0, -1], ["align.crystal.vector=1,1,1", "align.crystal.vector=1,0,0"]),
    ],
)
def test_aligned_settings_are_those_of_dials(folder, middle, words):
    content = json.loads((shared_data("dials_processed/quartz_processed") / "indexed.expt").read_text())
    content["goniometer"] = [
        {
            "axes": [[1, 0, 0], middle, [1, 0, 0]],
            "angles": [10, 20, 0],
            "names": ["PHI", "CHI", "OMEGA"],
            "scan_axis": 2,
        }
    ]
    (folder / "x.expt").write_text(json.dumps(content))
    dials("dials.align_crystal", "x.expt", *words, "output.json=theirs.json", cwd=folder)
    spindle_run("align_crystal", "x.expt", *words, "output.json=ours.json")
    angles = []
    for name in ("ours.json", "theirs.json"):
        found = json.loads(Path(name).read_text())["solutions"]
        angles.append(np.array(sorted((round(s["CHI"], 1) % 360, round(s["PHI"], 1) % 360) for s in found)))
    assert angles[0].shape == angles[1].shape and np.abs(angles[0] - angles[1]).max() < 0.11


@pytest.mark.parametrize("key", ["miller_index", "d", "xyzobs.px.value", "intensity.sum.value"])
@pytest.mark.parametrize("reverse", [False, True])
def test_sorted_reflections_are_those_of_dials(folder, key, reverse):
    file = shared_data("dials_processed/quartz_processed") / "integrated.refl"
    dials("dials.sort_reflections", file, f"key={key}", f"reverse={reverse}", cwd=folder)
    spindle_run("sort_reflections", file, f"key={key}", f"reverse={reverse}", "output=ours.refl")
    assert np.array_equal(read_reflections("ours.refl")[key], read_reflections("sorted.refl")[key])


def test_assigned_identifiers_are_those_of_dials(folder):
    dials("dials.assign_experiment_identifiers", *wedges(), "identifiers=a b", cwd=folder)
    outputs = ["output.experiments=our.expt", "output.reflections=our.refl"]
    spindle_run("assign_experiment_identifiers", *wedges(), "identifiers=a b", *outputs)
    same_models("our.expt", "assigned.expt")
    ours, theirs = read_reflections("our.refl"), read_reflections("assigned.refl")
    indexed = ours["id"] >= 0  # they give what is not indexed to the first experiment of its file
    assert np.array_equal(ours["id"][indexed], theirs["id"][indexed]) and ours.identifiers == theirs.identifiers


def filtered_by_dials(text):
    return int(next(line for line in text.splitlines() if line.startswith("Saving")).split()[1])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            "quartz_processed",
            ["flag_expression=(integrated|strong)&~reference_spot", "d_min=0.8", "partiality.min=0.5"],
        ),
        ("quartz_processed", ["select_good_intensities=True", "ice_rings.filter=True", "ice_rings.width=0.02"]),
        ("l_cysteine_narrow_wedge", ["dead_time.value=50", "dead_time.reject_fraction=0.1"]),
        ("l_cysteine_narrow_wedge", ["dead_time.value=80", "dead_time.reject_fraction=0.13"]),
        ("ssx_CuNiR_test_data", ["id=1,3"]),
    ],
)
def test_as_many_reflections_are_kept_as_dials_keeps(folder, data, words):
    stem = "11_integrated" if "wedge" in data else "integrated"
    files = [shared_data("dials_processed") / data / f"{stem}.{kind}" for kind in ("expt", "refl")]
    theirs = dials("dials.filter_reflections", *files, *words, "output.reflections=theirs.refl", cwd=folder)
    spindle_run("filter_reflections", *files, *words)
    found = [read_reflections(name)["xyzobs.px.value"] for name in ("filtered.refl", "theirs.refl")]
    assert np.array_equal(*found) and len(found[0]) == filtered_by_dials(theirs) > 0


@pytest.mark.parametrize("loss", [(0.3, 0.6), (0.5, 0.85)])
def test_blank_images_are_those_of_dials(folder, loss):
    files = [shared_data("dials_processed/quartz_processed") / f"integrated.{kind}" for kind in ("expt", "refl")]
    words = ["phi_step=7", f"counts_fractional_loss={loss[0]}", f"misigma_fractional_loss={loss[1]}"]
    dials("dials.detect_blanks", *files, *words, "output.json=theirs.json", cwd=folder)
    spindle_run("detect_blanks", *files, *words)
    ours, theirs = (json.loads(Path(name).read_text()) for name in ("blanks.json", "theirs.json"))
    assert ours.keys() == theirs.keys()
    for kind, content in theirs.items():
        assert ours[kind]["blank_regions"] == content["blank_regions"]
        for name in ("x", "y", "xlow", "xhigh", "blank"):
            assert np.allclose(ours[kind]["data"][0][name], content["data"][0][name], rtol=1e-9)
