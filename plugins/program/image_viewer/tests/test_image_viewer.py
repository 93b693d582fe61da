"""The program passes the contract of plugins, serves this machine alone, and shows what is in the files."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

import spindle
from spindle.cli.main import main
from spindle.errors import ParameterError
from spindle.images import ImageSequence
from spindle.testing import PluginContract
from spindle_lib_pictures.canvas import Canvas
from spindle_lib_readers.testing.images import write_smv

NAMES = ("two-theta", "24 panels", "64 panels")


class TestImageViewer(PluginContract):
    slot = "program"
    name = "image_viewer"


# -- who may ask, and for what


def test_questions_without_the_token_or_from_elsewhere_are_refused(aid, running):
    client = running(aid.experiment_of(aid.DETECTORS["two-theta"])).client
    right = {"Authorization": f"Bearer {aid.TOKEN}"}
    assert client.raw("POST", "/api/state", **right)[0] == 200
    assert client.raw("POST", "/api/state")[0] == 401
    assert client.raw("POST", "/api/state", Authorization="Bearer another")[0] == 401
    assert client.raw("POST", "/api/state", **right, Host="evil.example:80")[0] == 421
    assert client.raw("POST", "/api/state", **right, Origin="http://evil.example")[0] == 403
    assert client.raw("POST", "/api/state", **right, Sec_Fetch_Site="cross-site")[0] == 403
    assert client.raw("GET", "/api/state", **right)[0] == 405
    assert client.raw("GET", "/", Host="evil.example")[0] == 421


def test_the_page_loads_nothing_from_outside_and_nothing_but_the_page(aid, running):
    client = running(aid.experiment_of(aid.DETECTORS["two-theta"])).client
    status, headers, page = client.raw("GET", "/")
    assert status == 200 and b"<canvas" in page
    assert (
        "default-src 'none'" in headers["content-security-policy"]
        and "frame-ancestors 'none'" in headers["content-security-policy"]
    )
    for name in ("main.js", "view.js", "style.css"):
        status, _, text = client.raw("GET", f"/{name}")
        assert status == 200
        assert not re.search(rb"(src|href|from|url\()\s*=?\s*[\"']?(https?:)?//", text), name
    for path in ("/desk.py", "/../desk.py", "/%2e%2e/desk.py", "/.css", "/..%2fdesk.js", "/main.js/x", "/nothing.js"):
        assert client.raw("GET", path)[0] == 404, path


def test_files_outside_of_the_folders_are_not_opened(aid, running, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    secret = write_smv(tmp_path / "secret_001.img", np.zeros((5, 5), int))
    (folder / "link_001.img").symlink_to(secret)
    viewer = running(aid.experiment_of(aid.DETECTORS["two-theta"]))
    viewer.desk.allowed.roots[:] = [str(folder)]
    for path in (str(secret), str(folder / "link_001.img"), "/etc/passwd", "secret_001.img"):
        assert "outside" in viewer.client.ask("open", 403, paths=[path])["error"]
    assert "outside" in viewer.client.ask("folder", 403, path=str(tmp_path))["error"]


@pytest.mark.parametrize(
    ("name", "words", "status", "reason"),
    [
        ("view", {"set": 0, "image": 99, "x0": 0, "y0": 0, "width": 5, "height": 5, "binning": 1}, 422, "has 5, counted from 0"),
        ("view", {"set": 7, "image": 0, "x0": 0, "y0": 0, "width": 5, "height": 5, "binning": 1}, 422, "1 are open"),
        ("view", {"set": 0, "image": 0, "x0": 0, "y0": 0, "width": 10**6, "height": 10**6, "binning": 1}, 422, "too large"),
        ("view", {"set": 0, "image": 0, "x0": 0.5, "y0": 0, "width": 5, "height": 5, "binning": 1}, 400, "int expected"),
        ("view", {"set": 0, "image": 0, "x0": 0, "y0": 0, "width": 5, "height": 5, "binning": 0}, 422, "cannot be made"),
        ("view", {"set": 0, "nonsense": 1}, 400, "nonsense"),
        ("scene", {"set": "0"}, 400, "int expected"),
        ("open", {"paths": "x"}, 400, "list expected"),
        ("open", {"paths": []}, 422, "list of names"),
        ("open", {"paths": [1]}, 400, "other values"),
        ("mask", {"set": 0, "rules": {}, "shapes": [2**63]}, 400, "other values"),
        ("line", {"set": 0, "image": 0, "x0": float("nan"), "y0": 0, "x1": 1, "y1": 1}, 400, "finite"),
        ("resolution_rings", {"set": 0, "unit_cell": [float("inf")] * 6}, 400, "finite"),
        ("resolution_rings", {"set": 0, "kind": "powder"}, 422, "six numbers"),
    ],
)  # fmt: skip
def test_questions_that_make_no_sense_are_refused_with_the_reason(aid, running, name, words, status, reason):
    client = running(aid.experiment_of(aid.DETECTORS["two-theta"])).client
    assert reason in client.ask(name, status, **words)["error"]


def test_a_file_whose_data_lie_elsewhere_is_a_message_with_what_to_do(tmp_path, monkeypatch, capsys):
    inside = tmp_path / "inside"
    inside.mkdir()
    with h5py.File(tmp_path / "pixels.h5", "w") as file:
        file["data"] = np.zeros((2, 5), np.int32)
    with h5py.File(inside / "master.h5", "w") as file:
        file["data"] = h5py.ExternalLink(str(tmp_path / "pixels.h5"), "/data")
    monkeypatch.chdir(inside)
    assert main(["image_viewer", "master.h5", "browser=False"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and "pixels.h5: outside of the folders" in said and "allow=" in said


# -- what is sent of images


@pytest.mark.parametrize("projection", ["image", "lab"])
@pytest.mark.parametrize("name", NAMES)
def test_codes_stand_for_the_values_of_the_picture_of_all_panels(aid, running, name, projection):
    experiment = aid.experiment_of(aid.DETECTORS[name])
    client = running(experiment, projection=projection).client
    canvas = Canvas(experiment.detector, aid.BEAM, projection)
    truth = canvas(ImageSequence(experiment).read(2), -9)
    header, codes = client.codes(set=0, image=2, x0=0, y0=0, width=truth.shape[1], height=truth.shape[0], binning=1)
    good = truth >= 0
    assert np.array_equal(codes == 0, truth == -9) and np.array_equal(codes == 1, truth == -2)
    values = aid.decoded(codes[good], header)
    assert header["step"] == 1 and np.array_equal(values[truth[good] < 100], truth[good][truth[good] < 100])
    assert np.allclose(values, truth[good], rtol=0.09)  # bright pixels: steps of equal ratio
    found, states = client.values(set=0, image=2, x0=0, y0=0, width=truth.shape[1], height=truth.shape[0])
    assert np.array_equal(found[good], truth[good]) and np.array_equal(states[good], np.full(good.sum(), 2))


def test_groups_of_pixels_show_their_largest_or_their_mean(aid, running):
    experiment = aid.experiment_of(aid.DETECTORS["two-theta"])
    client = running(experiment).client
    (truth,) = ImageSequence(experiment).read(0)
    words = {"set": 0, "image": 0, "x0": 4, "y0": 8, "width": 20, "height": 15, "binning": 4}
    groups = truth[8:68, 4:84].reshape(15, 4, 20, 4).swapaxes(1, 2).reshape(15, 20, 16)
    header, codes = client.codes(**words)
    assert np.allclose(aid.decoded(codes, header), groups.max(axis=2), rtol=0.09)
    header, codes = client.codes(**words, mode="mean")
    low = groups.mean(axis=2) < 30
    assert (
        np.allclose(aid.decoded(codes, header)[low], groups.mean(axis=2)[low], atol=header["step"])
        and header["step"] <= 0.5
    )


def test_parts_beyond_the_edges_are_empty(aid, running):
    client = running(aid.experiment_of(aid.DETECTORS["two-theta"])).client
    _, codes = client.codes(set=0, image=0, x0=-8, y0=-4, width=6, height=5, binning=4)
    assert not codes[0].any() and not codes[:, :2].any() and (codes[1:, 2:] > 0).all()


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_several_images_are_shown_as_one(aid, running, mode):
    experiment = aid.experiment_of(aid.DETECTORS["two-theta"])
    client = running(experiment).client
    sequence = ImageSequence(experiment)
    truth = getattr(np.stack([sequence.read(i)[0] for i in (1, 2, 3)]), mode)(axis=0)
    found, _ = client.values(set=0, image=1, x0=0, y0=0, width=120, height=100, stack=3, stack_mode=mode)
    good = truth >= 0
    assert np.allclose(found[good], truth[good]) and np.all(np.isnan(found[truth < 0]))


def test_a_view_of_six_megapixels_is_below_300_kb(aid, running):
    from dataclasses import replace

    from spindle.models import Detector

    rng = np.random.default_rng(1)
    for background in (0.3, 2.0, 200.0):
        panel = replace(aid.DETECTORS["two-theta"][0], image_size=(2463, 2527))
        image = rng.poisson(background, (2527, 2463)).astype(np.int32)
        experiment = replace(aid.experiment_of(aid.DETECTORS["two-theta"], 1), detector=Detector([panel]))
        client = running(ImageSequence.from_arrays(experiment, [image]).experiment).client
        body = json.dumps({"set": 0, "image": 0, "x0": 0, "y0": 0, "width": 821, "height": 843, "binning": 3}).encode()
        status, headers, data = client.raw("POST", "/api/view", body, Authorization=f"Bearer {aid.TOKEN}")
        assert status == 200 and len(data) == int(headers["content-length"]) < 300_000


# -- geometry


@pytest.mark.parametrize("name", NAMES)
def test_points_of_a_ring_have_its_resolution(aid, running, name):
    experiment = aid.experiment_of(aid.DETECTORS[name])
    viewer = running(experiment)
    detector = experiment.detector
    placements = Canvas(detector, aid.BEAM).placements
    rings = viewer.client.ask("resolution_rings", set=0)
    assert len(rings) >= 4 and all(ring["lines"] for ring in rings[2:4])
    n = 0
    for ring in rings:
        for line in ring["lines"]:
            points = np.array(line).reshape(-1, 2)
            for panel, (place, one) in enumerate(zip(placements, detector, strict=True)):
                xy = points - place[:, 2]
                on = np.all((xy >= -0.6) & (xy <= np.array(one.image_size) + 0.6), axis=1)
                if on.all():
                    # half a pixel is 0.05 mm of some 45 mm
                    d = detector.resolution_at(panel, xy, aid.BEAM.s0)
                    assert np.allclose(d, ring["d"], rtol=2e-3)
                    n += len(points)
    assert n > 100


def test_powder_rings_are_those_of_the_cell(aid, running):
    client = running(aid.experiment_of(aid.DETECTORS["two-theta"])).client
    rings = client.ask(
        "resolution_rings", set=0, kind="powder", unit_cell=[8, 8, 8, 90, 90, 90], space_group="F m -3 m"
    )
    expected = [8 / np.sqrt(s) for s in (3, 4, 8, 11, 12)]
    assert np.allclose([r["d"] for r in rings][:5], expected, atol=1e-4)
    assert all(ring["d"] for ring in client.ask("resolution_rings", set=0, kind="ice"))


# -- opening


def test_a_folder_lists_series_and_opens_them(aid, running, tmp_path):
    for i in range(3):
        write_smv(tmp_path / f"x_{i + 1:03d}.img", np.full((20, 30), i))
    (tmp_path / "deeper").mkdir()
    (tmp_path / "notes.txt").write_text("nothing")
    viewer = running()
    listing = viewer.client.ask("folder")
    assert listing["folders"] == ["deeper"] and listing["above"] is None
    (entry,) = listing["entries"]
    assert entry["name"] == "x_###.img" and entry["n"] == 3
    state = viewer.client.ask("open", paths=entry["paths"])
    assert [s["n_images"] for s in state["sets"]] == [3] and state["opened"] == [0]
    found, _ = viewer.client.values(set=0, image=2, x0=0, y0=0, width=30, height=20)
    assert np.all(found == 2)
    (tmp_path / "y_001.img").write_bytes(b"nonsense")
    assert "y_001.img" in viewer.client.ask("open", 422, paths=[str(tmp_path / "y_001.img")])["error"]


def test_the_program_serves_until_it_is_told_to_stop(aid, tmp_path):
    write_smv(tmp_path / "x_001.img", np.arange(600).reshape(20, 30))
    words = [sys.executable, "-m", "spindle.cli.main", "image_viewer", "browser=False", "x_001.img"]
    environment = {**os.environ, "SSH_CONNECTION": "1 2 3 4"}
    process = subprocess.Popen(
        words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )
    try:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "Ctrl-C stops" in line:
                break
        text = "".join(lines)
        port, token = re.search(r"Open http://localhost:(\d+)/#token=(\S+)", text).groups()
        assert f"ssh -L {port}:localhost:{port}" in text
        client = aid.Client(int(port))
        status, headers, data = client.raw("POST", "/api/state", Authorization=f"Bearer {token}")
        data = zlib.decompress(data) if headers.get("content-encoding") else data
        assert status == 200 and b"x_###.img" in data
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.stdout.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x_001.img"]


def test_a_port_that_is_taken_and_a_folder_that_is_not_there_are_named(tmp_path):
    with pytest.raises(ParameterError, match="no such folder"):
        spindle.run("image_viewer", allow=[str(tmp_path / "missing")])


# -- parameters


def test_displays_are_those_of_the_library():
    from spindle_program_image_viewer.params import DISPLAYS

    from spindle_lib_pictures import display

    assert display.DISPLAYS == DISPLAYS


def test_parameters_say_what_the_page_shows_first():
    from spindle_program_image_viewer.params import ImageViewerParams
    from spindle_program_image_viewer.start import settings_of

    from spindle.params import build

    given = {
        "calibrate_unit_cell.unit_cell": "4.158,4.158,4.158,90,90,90", "calibrate_unit_cell.space_group": "Pm-3m",
        "calibrate_unit_cell.show_hkl": [(1, 1, 0)], "nsigma_s": 4.5, "n_iqr": 8, "masking.border": 3, "show_mask": True,
    }  # fmt: skip
    found = settings_of(build(ImageViewerParams).changed(given))
    assert found["unit_cell"]["unit_cell"][0] == 4.158 and found["unit_cell"]["only"] == [[1, 1, 0]]
    assert found["threshold"]["dispersion"]["sigma_strong"] == found["maps"]["sigma_strong"] == 4.5
    assert found["threshold"]["radial_profile"]["n_iqr"] == 8
    assert found["masking"]["rules"] == {"border": 3} and found["show_mask"] is True
    with pytest.raises(ParameterError, match="gain must be positive"):
        settings_of(build(ImageViewerParams).changed(gain=0))
    with pytest.raises(ParameterError, match="min_local=1"):
        settings_of(build(ImageViewerParams).changed(min_local=1))


@pytest.mark.parametrize(
    "name", ["powder_arcs.show=True", "calibrate_pdb.code=1abc", "zmq_endpoint=x", "load_models=False"]
)
def test_what_the_viewer_does_not_do_is_refused_with_the_reason(name):
    key, _, value = name.partition("=")
    with pytest.raises(ParameterError, match="not available: "):
        spindle.run("image_viewer", **{key: {"True": True, "False": False}.get(value, value)})


def test_images_without_geometry_are_shown_as_pictures(tmp_path, caplog):
    """A TIFF file knows neither wavelength nor distance."""

    from PIL import Image
    from spindle_program_image_viewer.params import ImageViewerParams
    from spindle_program_image_viewer.start import make_desk

    from spindle.contracts import ProgramInputs
    from spindle.params import build
    from spindle.testing.data import make_context

    path = tmp_path / "a_0001.tif"
    Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30)).save(path)
    inputs = ProgramInputs(files=[path], sources=[path])
    desk = make_desk(inputs, build(ImageViewerParams), make_context("image_viewer"))
    assert "resolutions mean nothing" in caplog.text
    assert desk.scene(0)["columns"] == 30


def test_all_images_without_geometry_are_shown_however_many_they_are(tmp_path, caplog):
    from PIL import Image
    from spindle_program_image_viewer.params import ImageViewerParams
    from spindle_program_image_viewer.start import make_desk

    from spindle.contracts import ProgramInputs
    from spindle.params import build
    from spindle.testing.data import make_context

    write_smv(tmp_path / "b_001.img", np.full((40, 60), 7))
    for k in range(104):
        Image.fromarray(np.full((4, 6), k, np.uint16)).save(tmp_path / f"a_{k:04d}.tif")
    paths = sorted(tmp_path.iterdir())
    desk = make_desk(ProgramInputs(files=paths, sources=paths), build(ImageViewerParams), make_context("image_viewer"))
    found = {Path(s["name"]).suffix: (s["has_geometry"], s["n_images"]) for s in desk.state()["sets"]}
    assert found == {".img": (True, 1), ".tif": (False, 104)}
    assert "and 94 more" in caplog.text


def test_images_without_geometry_are_shown_beside_those_that_have_it(tmp_path, caplog, aid, running, page):
    from PIL import Image
    from spindle_program_image_viewer.params import ImageViewerParams
    from spindle_program_image_viewer.start import make_desk

    from spindle.contracts import ProgramInputs
    from spindle.params import build
    from spindle.testing.data import make_context

    write_smv(tmp_path / "b_001.img", np.full((40, 60), 7))
    Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30)).save(tmp_path / "a_0001.tif")
    paths = [tmp_path / "b_001.img", tmp_path / "a_0001.tif"]
    desk = make_desk(ProgramInputs(files=paths, sources=paths), build(ImageViewerParams), make_context("image_viewer"))
    found = {Path(s["name"]).suffix: (s["has_geometry"], s["n_images"]) for s in desk.state()["sets"]}
    assert found == {".img": (True, 1), ".tif": (False, 1)}
    warning = next(r.getMessage() for r in caplog.records if "resolutions mean nothing" in r.getMessage())
    assert "a_0001.tif" in warning and "b_001.img" not in warning
    # Opened from the page they are the same.
    desk.open([str(p) for p in paths])
    assert [s["has_geometry"] for s in desk.state()["sets"]] == [True, False, True, False]
    viewer = running()
    viewer.desk.sets.sets = desk.sets.sets
    browser = page(viewer, "&set=1&image=1")
    # No rings where they would mean nothing; beside it, those of the other set.
    browser.evaluate("viewer.app.comparing.set.input.value = '1', viewer.app.compare(true)")
    browser.evaluate(
        "[...document.querySelectorAll('label')].find((l) => l.textContent === 'Resolution rings').click()"
    )
    browser.wait("viewer.app.overlays.lines.rings[0]?.length > 3")
    assert browser.evaluate("1 in viewer.app.overlays.lines.rings") is False
    assert browser.evaluate("document.getElementById('label').textContent").endswith("no geometry in the file")
    browser.evaluate("viewer.app.openSet(0)")
    browser.wait("viewer.app.scene.has_geometry && !document.getElementById('label').textContent.includes('geometry')")
