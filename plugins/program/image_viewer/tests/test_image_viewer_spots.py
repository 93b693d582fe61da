"""Spots, predictions, thresholds, masks and profiles, asked as the page does, with answers known from elsewhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import spindle
from spindle.files import read_mask
from spindle.images import ImageSequence
from spindle.models import Crystal, Experiments
from spindle.table import Flag, MaskCode, ReflectionTable, Shoeboxes


def table_of(n_panels: int = 1) -> ReflectionTable:
    """A strong spot on images 2 and 3, an indexed one on image 3, a rejected and an integrated one on image 3."""
    bbox = np.array(
        [[5, 9, 9, 13, 1, 3], [20, 24, 30, 34, 2, 3], [40, 43, 50, 53, 2, 3], [60, 63, 50, 53, 2, 3]], np.int32
    )
    panel = np.array([0, 0, 0, n_panels - 1], np.uint64)
    boxes = Shoeboxes.empty(panel.astype(np.int64), bbox)
    data, mask, _ = boxes.pixels(0)
    data[:] = 1.0
    mask[:] = MaskCode.VALID
    mask[1, 1:3, 1:3] |= MaskCode.STRONG | MaskCode.FOREGROUND
    data[1, 2, 1] = 50.0
    flags = [
        Flag.STRONG,
        Flag.STRONG | Flag.INDEXED,
        Flag.PREDICTED | Flag.DONT_INTEGRATE,
        Flag.PREDICTED | Flag.INTEGRATED_SUM,
    ]
    table = ReflectionTable({
        "id": np.array([-1, 0, 0, 0], np.int32),
        "imageset_id": np.zeros(4, np.int32),
        "panel": panel,
        "bbox": bbox,
        "flags": np.array([int(f) for f in flags], np.uint64),
        "miller_index": np.array([[0, 0, 0], [1, 2, 3], [-1, 0, 4], [5, 0, 0]], np.int32),
        "xyzobs.px.value": np.array([[7.0, 11.0, 2.0], [22.0, 32.0, 2.5], [0, 0, 0], [61.0, 51.0, 2.5]]),
        "xyzcal.px": np.array([[0.0, 0, 0], [22.1, 32.1, 2.5], [41.5, 51.5, 2.5], [61.1, 51.2, 2.5]]),
    })  # fmt: skip
    table["shoebox"] = boxes
    return table


@pytest.fixture
def with_spots(aid, running):
    crystal = Crystal(np.diag([0.02, 0.025, 0.03]), "P1")
    viewer = running(replace(aid.experiment_of(aid.DETECTORS["two-theta"]), crystal=crystal))
    viewer.desk.add_reflections([table_of()], ["a.refl"])
    return viewer


def test_an_image_has_the_reflections_whose_boxes_reach_it(with_spots):
    ask = with_spots.client.ask
    rows = [ask("reflections", set=0, image=i)["tables"][0]["row"] for i in range(4)]
    assert rows == [[], [0], [0, 1, 2, 3], []]
    (found,) = ask("reflections", set=0, image=2)["tables"]
    assert found["kind"] == [0, 1, 4, 3] and found["lattice"] == [-1, 0, 0, 0]
    assert found["hkl"] == [None, [1, 2, 3], [-1, 0, 4], [5, 0, 0]]
    assert found["observed"][2] is None and found["calculated"][2] == [41.5, 51.5, 2.5]
    assert found["strong"][0] == [6, 10, 7, 10, 6, 11, 7, 11] and found["brightest"][0] == [6, 11]
    assert ask("reflections", set=0, image=1)["tables"][0]["strong"] == [[]]  # the strong pixels are on the next image


def test_reflections_beyond_a_resolution_are_left_out(aid, with_spots):
    detector = aid.DETECTORS["two-theta"]
    d = detector.resolution_at(0, [[7.0, 11.0], [22.0, 32.0], [0, 0], [61.0, 51.0]], aid.BEAM.s0)
    limit = float(np.sort(d)[1] + 1e-6)
    (found,) = with_spots.client.ask("reflections", set=0, image=2, d_min=limit)["tables"]
    assert found["row"] == [k for k in range(4) if d[k] >= limit]


def test_one_reflection_with_all_that_is_known(with_spots):
    found = with_spots.client.ask("reflection", table=0, row=0)
    assert found["kind"] == "strong" and found["flags"] == ["strong"]
    assert found["columns"]["xyzobs.px.value"] == [7.0, 11.0, 2.0]
    assert np.array(found["shoebox"]["data"]).shape == (2, 4, 4) and found["shoebox"]["data"][1][2][1] == 50.0
    assert "there is none" in with_spots.client.ask("reflection", 422, table=0, row=99)["error"]


def test_reflections_of_other_experiments_are_refused(aid, running):
    viewer = running(aid.experiment_of(aid.DETECTORS["two-theta"]))
    table = table_of()
    table["id"] = np.array([-1, 0, 1, 2], np.int32)
    with pytest.raises(spindle.errors.ParameterError, match="belong to 3 experiments, 1 are open"):
        viewer.desk.add_reflections([table], ["b.refl"])


def test_axes_turn_with_the_crystal(with_spots):
    """The scan begins at 10 degrees about x with images of 0.5: a* stays, b* and c* have turned by 10.25."""
    axes = {a["name"]: np.array(a["vector"]) for a in with_spots.client.ask("reflections", set=0, image=0)["axes"]}
    turn = np.deg2rad(10.25)
    assert np.allclose(axes["axis"], [1, 0, 0]) and np.allclose(axes["a*"], [0.02, 0, 0])
    assert np.allclose(axes["b*"], 0.025 * np.array([0, np.cos(turn), np.sin(turn)]))
    assert np.allclose(axes["c*"], 0.03 * np.array([0, -np.sin(turn), np.cos(turn)]))


def test_predictions_are_those_of_the_program(aid, running):
    experiment = replace(
        aid.experiment_of(aid.DETECTORS["two-theta"]), crystal=Crystal(np.diag([0.02, 0.025, 0.03]), "P1")
    )
    viewer = running(experiment)
    expected = spindle.run("predict", Experiments([experiment])).reflections
    viewer.desk._predict = lambda experiments: spindle.run("predict", experiments).reflections
    assert viewer.client.ask("predict")["n"] == len(expected) > 10
    (found,) = viewer.client.ask("reflections", set=0, image=1)["tables"]
    z = expected["xyzcal.px"][:, 2]
    assert len(found["row"]) == np.count_nonzero((z >= 1) & (z < 2)) and set(found["kind"]) == {2}


# -- thresholds


def test_strong_pixels_are_those_of_the_threshold(aid, running):
    experiment = aid.experiment_of(aid.DETECTORS["24 panels"])
    client = running(experiment).client
    names = {t["name"]: t for t in client.ask("thresholds")}
    fields = {f["name"]: f for f in names["dispersion"]["fields"]}
    assert fields["sigma_strong"]["value"] == 3.0 and fields["kernel_size"]["kind"] == "numbers"
    header, data = client.ask("strong_pixels", set=0, image=0, algorithm="dispersion", values={"sigma_strong": 5.0})
    assert header["command"] == (
        "spindle find_spots imported.expt spotfinder.threshold.algorithm=dispersion spotfinder.threshold.dispersion.sigma_strong=5.0"
    )
    places = {tuple(p) for p in np.frombuffer(data, "<i4").reshape(-1, 2).tolist()}
    from spindle_lib_pictures.canvas import Canvas

    for place in Canvas(experiment.detector, aid.BEAM).placements:  # the bright pixel of every panel
        assert tuple(np.floor(place @ (7.5, 11.5, 1)).astype(int)) in places
    assert header["n_strong"] == len(places) < 24 * 20
    words = {"set": 0, "image": 0, "algorithm": "dispersion"}
    assert "sigma_strong=-1" in client.ask("strong_pixels", 422, **words, values={"sigma_strong": -1})["error"]
    assert "installed are" in client.ask("strong_pixels", 422, set=0, image=0, algorithm="none", values={})["error"]


def test_spots_are_counted_as_find_spots_counts_them(aid, running):
    experiment = aid.experiment_of(aid.DETECTORS["two-theta"])
    (image,) = ImageSequence(experiment).read(0)
    rng = np.random.default_rng(3)
    image = image.copy()
    for y, x in rng.integers(15, 85, (12, 2)):
        image[y : y + 3, x : x + 3] += 200
    experiment = ImageSequence.from_arrays(experiment, [image] * 5).experiment
    client = running(experiment).client
    found = client.ask("find_spots", set=0, image=2, algorithm="dispersion", values={})
    alone = replace(experiment, scan=experiment.scan.slice(1, 1))
    alone = ImageSequence.from_arrays(alone, [image]).experiment
    expected = spindle.run("find_spots", Experiments([alone]), **{"threshold.algorithm": "dispersion"}).reflections
    assert 8 <= found["n_spots"] == len(expected) == len(found["spots"]) <= 13
    assert np.allclose(found["spots"], expected["xyzobs.px.value"][:, :2], atol=0.01)


@pytest.mark.parametrize("display", ["mean", "dispersion", "threshold"])
def test_maps_of_the_threshold_are_those_of_the_library(aid, running, display):
    from spindle_lib_pictures.display import Display

    experiment = aid.experiment_of(aid.DETECTORS["two-theta"])
    client = running(experiment).client
    (image,) = ImageSequence(experiment).read(0)
    truth = Display(display).of(image, image >= 0)
    words = {"set": 0, "image": 0, "x0": 0, "y0": 0, "width": 120, "height": 100, "binning": 1}
    header, codes = client.codes(**words, display=display, settings={"kernel": [3, 3]})
    kept = truth >= header["start"]  # what is far below nearly all pixels has the lowest code
    assert kept.mean() > 0.99
    assert np.allclose(aid.decoded(codes, header)[kept], truth[kept], rtol=0.09, atol=header["step"])
    assert "choose one of" in client.ask("view", 422, **words, display="nonsense")["error"]


# -- masks


def test_masks_are_those_of_generate_mask(aid, running, tmp_path):
    experiment = aid.experiment_of(aid.DETECTORS["two-theta"])
    client = running(experiment).client
    shapes = [
        {"panel": 0, "circle": [50, 40, 9]}, {"panel": 0, "rectangle": [5, 15, 60, 80]}, {"panel": 0, "pixel": [3, 4]},
        {"panel": 0, "polygon": [80, 10, 110, 10, 95, 40]},
    ]  # fmt: skip
    rules = {"border": 2, "d_max": 20.0}
    found = client.ask("mask", set=0, rules=rules, shapes=shapes)
    written = client.ask("write_mask", set=0, rules=rules, shapes=shapes)
    assert written["written"] == [str(tmp_path / "pixels.npz"), str(tmp_path / "mask.phil")]
    (mask,) = read_mask(str(tmp_path / "pixels.npz"), experiment.detector)
    assert np.count_nonzero(~mask) == found["n_masked"] > 500
    _, states = client.values(set=0, image=0, x0=0, y0=0, width=120, height=100)
    assert np.array_equal(states == 2, mask)
    # What is printed makes the same mask.
    words = written["command"].removeprefix("spindle generate_mask imported.expt ").split()
    values = {"untrusted": []}
    for name, _, value in (w.partition("=") for w in words):
        if name == "untrusted.panel":
            values["untrusted"].append({"panel": 0})
        elif name.startswith("untrusted."):
            values["untrusted"][-1][name[10:]] = [int(v) for v in value.split(",")]
        elif name != "output.mask":
            values[name] = float(value) if name == "d_max" else int(value)
    again = spindle.run("generate_mask", Experiments([experiment]), **{"output.mask": "again.npz"}, **values)
    (writer,) = again.files.values()
    writer(tmp_path / "again.npz")
    assert np.array_equal(read_mask(str(tmp_path / "again.npz"), experiment.detector)[0], mask)
    from spindle.params import parse_phil

    text = (tmp_path / "mask.phil").read_text()
    assert {a.key for a in parse_phil(text, "mask.phil")} >= {"border", "d_max"}
    assert "is there already" in client.ask("write_mask", 422, set=0, rules=rules, shapes=shapes)["error"]
    assert (
        "masks are written below"
        in client.ask("write_mask", 422, set=0, rules=rules, shapes=shapes, name="/tmp/x.npz")["error"]
    )
    image = tmp_path / "x_001.cbf"
    image.write_bytes(b"pixels")
    refused = client.ask("write_mask", 422, set=0, rules=rules, shapes=shapes, name=str(image), replace=True)
    assert "masks are written as .npz" in refused["error"] and image.read_bytes() == b"pixels"
    # Undone, all pixels are back.
    client.ask("mask", set=0, rules={}, shapes=[])
    assert np.count_nonzero(client.values(set=0, image=0, x0=0, y0=0, width=120, height=100)[1] == 2) == 12_000


def test_why_a_pixel_is_masked(aid, running):
    client = running(aid.experiment_of(aid.DETECTORS["two-theta"])).client
    client.ask("mask", set=0, rules={"border": 2}, shapes=[{"panel": 0, "circle": [50, 40, 9]}])
    where = {"set": 0, "image": 0, "panel": 0}
    assert client.ask("why_masked", **where, x=0, y=50) == ["rule border"]
    assert client.ask("why_masked", **where, x=50, y=40) == ["rule untrusted[0]"]
    assert client.ask("why_masked", **where, x=9, y=3) == ["its value -2 is below the trusted range, which begins at 0"]
    assert client.ask("why_masked", **where, x=70, y=70) == []
    assert "has 120 x 100" in client.ask("why_masked", 422, **where, x=120, y=1)["error"]


@pytest.mark.parametrize(
    "shape", [{"circle": [1, 2]}, {"nothing": [1]}, {"polygon": [1, 2, 3, 4]}, {"circle": [0.5, 1, 2]}]
)
def test_shapes_that_make_no_sense_are_refused(aid, running, shape):
    client = running(aid.experiment_of(aid.DETECTORS["two-theta"])).client
    assert client.ask("mask", 422, set=0, rules={}, shapes=[{"panel": 0, **shape}])["error"]


# -- profiles


def test_values_along_a_line(aid, running):
    experiment = aid.experiment_of(aid.DETECTORS["two-theta"])
    client = running(experiment).client
    (image,) = ImageSequence(experiment).read(1)
    found = client.ask("line", set=0, image=1, x0=0.5, y0=11.5, x1=99.5, y1=11.5)
    x = np.floor(0.5 + np.array(found["distance"])).astype(int)
    assert found["value"] == image[11, x].tolist() and max(found["value"]) == 1001
    assert (
        None in client.ask("line", set=0, image=1, x0=9.5, y0=0.5, x1=9.5, y1=9.5)["value"]
    )  # across the masked pixel


def test_means_of_rings_are_those_of_their_pixels(aid, running):
    """Pixels hold 1000 / d: each ring's mean is that of its resolution."""
    from spindle_lib_masks.rules import resolution_map

    experiment = aid.experiment_of(aid.DETECTORS["two-theta"], 1)
    d = resolution_map(experiment.detector, 0, aid.BEAM)
    image = np.minimum(1000.0 / d, 59_999).astype(np.float32)
    client = running(ImageSequence.from_arrays(experiment, [image]).experiment).client
    found = client.ask("radial", set=0, image=0)
    n, mean, at = (np.array(found[k]) for k in ("n", "mean", "d"))
    full = n > 20
    assert full.sum() > 20 and np.allclose(mean[full], 1000.0 / at[full], rtol=0.01) and n.sum() == d.size
