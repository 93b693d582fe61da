"""The page of reciprocal space and volumes, as the viewer serves them."""

from __future__ import annotations

import base64
from dataclasses import replace
from types import SimpleNamespace

import gemmi
import numpy as np
import pytest
from spindle_program_image_viewer.serving import _place

from spindle.errors import FileFormatError, ParameterError
from spindle.files import read_reflections
from spindle.models import Crystal
from spindle.table import Flag, ReflectionTable
from spindle_lib_reciprocal_view import volumes
from spindle_lib_reciprocal_view.points import points_of
from spindle_lib_reciprocal_view.volumes import is_volume, sections_of


@pytest.fixture
def viewer(aid, running):
    """A viewer of an experiment with a crystal and 60 spots; the experiment and the spots."""
    rng = np.random.default_rng(3)
    n = 60
    table = ReflectionTable({
        "id": np.where(np.arange(n) % 3 > 0, 0, -1).astype(np.int32),
        "panel": np.zeros(n, np.uint64),
        "flags": np.full(n, int(Flag.STRONG), np.uint64),
        "miller_index": np.where(np.arange(n)[:, None] % 3 > 0, rng.integers(1, 9, (n, 3)), 0).astype(np.int32),
        "xyzobs.px.value": rng.uniform(0, 1, (n, 3)) * [119, 99, 5],
        "xyzobs.px.variance": np.ones((n, 3)),
        "intensity.sum.value": rng.uniform(10, 1000, n),
    })  # fmt: skip
    experiment = replace(
        aid.experiment_of(aid.DETECTORS["two-theta"]), crystal=Crystal(np.diag([0.02, 0.025, 0.03]), "P1")
    )
    started = running(experiment)
    started.desk.add_reflections([table], ["a.refl"])
    return started, started.desk.sets.experiments, table


def lattice_of(client):
    header, data = client.ask("lattice")
    arrays, at = {}, 0
    for one in header["arrays"]:
        arrays[one["name"]] = np.frombuffer(data, one["type"], one["n"], at)
        at += arrays[one["name"]].nbytes
    assert at == len(data)
    return header["meta"], arrays


def test_points_of_the_page_are_those_of_the_files(viewer):
    from spindle.models import Experiments

    started, experiments, table = viewer
    meta, arrays = lattice_of(started.client)
    points = points_of(Experiments(experiments), [table])
    rows = arrays["row"]
    np.testing.assert_allclose(arrays["position"].reshape(-1, 3), points.position[rows], atol=1e-6)
    np.testing.assert_allclose(arrays["lab"].reshape(-1, 3), points.lab[rows], rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(arrays["extra"].reshape(-1, 2)[:, 0], table["intensity.sum.value"][rows], rtol=1e-6)
    assert meta["title"] == "a.refl" and len(meta["detectors"][0]["corners"]) == 1


def test_chosen_points_are_written_with_all_their_columns(viewer, tmp_path, monkeypatch):
    started, _, table = viewer
    monkeypatch.chdir(tmp_path)
    wanted = np.zeros(len(table), bool)
    wanted[[3, 17, 59]] = True

    def ask(status=200, bits=wanted, name="part.refl"):
        text = base64.b64encode(np.packbits(bits, bitorder="little").tobytes()).decode()
        return started.client.ask("export_rows", status, bits=text, name=name)

    assert ask()["n"] == 3
    found = read_reflections(tmp_path / "part.refl")
    for name in ("miller_index", "intensity.sum.value", "xyzobs.px.value"):
        np.testing.assert_array_equal(found[name], table[name][wanted])
    assert "is there already" in ask(422)["error"]
    assert "written as .refl below" in ask(422, name="/tmp/elsewhere.refl")["error"]
    assert "choose points first" in ask(422, bits=np.zeros(8, bool), name="b.refl")["error"]
    assert "choose points first" in ask(422, bits=np.ones(80, bool), name="b.refl")["error"]


def test_without_experiments_there_is_no_lattice_and_without_spots_the_geometry(aid, running):
    assert "no experiments are open" in running().client.ask("lattice", 422)["error"]
    meta, arrays = lattice_of(running(aid.experiment_of(aid.DETECTORS["24 panels"])).client)
    assert len(arrays["row"]) == 0 and len(meta["detectors"][0]["corners"]) == 24


def test_the_page_in_a_browser(viewer, browser, tmp_path, monkeypatch):
    started, _, _table = viewer
    monkeypatch.chdir(tmp_path)
    browser.problems.clear()
    browser.open("about:blank")
    browser.open(started.address)
    browser.wait("viewer.app.started && document.body.dataset.image !== undefined")
    browser.evaluate("[...document.querySelectorAll('#pages a')][0].click()")
    browser.wait("document.body.dataset.ready || document.body.dataset.problem")
    if "no WebGL" in (browser.evaluate("document.body.dataset.problem || ''")):
        pytest.skip("the Chromium that is installed has no WebGL")
    browser.wait("document.body.dataset.visible === '60'")
    browser.evaluate("document.getElementById('choose_1').click()")
    browser.evaluate("document.getElementById('exportname').value = 'lattice0.refl'")
    browser.evaluate("document.getElementById('export').click()")
    browser.wait("(document.body.dataset.said || '').startsWith('Wrote 40')")
    assert len(read_reflections(tmp_path / "lattice0.refl")) == 40
    # A box over all of it, drawn with the mouse, and all hidden by a key.
    browser.evaluate(
        "(() => { const t = document.getElementById('tool'); t.value = 'box'; t.dispatchEvent(new Event('change')); })()"
    )
    browser.drag((5, 5), (300, 300), (715, 690))
    browser.wait("document.body.dataset.chosen === '60'")
    browser.key("h")
    browser.wait("document.body.dataset.visible === '0'")
    browser.key("u")
    browser.wait("document.body.dataset.visible === '60'")
    browser.evaluate(
        "(() => { const t = document.getElementById('tool'); t.value = 'turn'; t.dispatchEvent(new Event('change')); })()"
    )
    before = browser.evaluate("eye.rotation")
    browser.drag((300, 300), (360, 320), (380, 340))
    assert browser.evaluate("eye.rotation") != before
    browser.evaluate("document.querySelector('#others a').click()")
    browser.wait("window.viewer && viewer.app.started && document.body.dataset.image !== undefined")
    assert not browser.problems


def write_volume(path, values, d_min, inclusive=False):
    """A map as `spindle rs_mapper` writes it, or with a voxel more and z first, as DIALS does."""
    n = len(values)
    made = gemmi.Ccp4Map()
    if inclusive:
        values = np.pad(values, ((0, 1),) * 3).transpose(2, 1, 0)
    cell = gemmi.UnitCell(*(3 * (200 / d_min,)), 90, 90, 90)
    made.grid = gemmi.FloatGrid(np.ascontiguousarray(values, np.float32), cell, gemmi.SpaceGroup("P 1"))
    made.update_ccp4_header(2, True)
    for word in (8, 9, 10):
        made.set_header_i32(word, n)
    for k, word in enumerate((17, 18, 19)):
        made.set_header_i32(word, 3 - k if inclusive else k + 1)
    for word in (5, 6, 7):
        made.set_header_i32(word, 0 if inclusive else -(n // 2))
    made.write_ccp4_map(str(path))


@pytest.mark.parametrize("inclusive", [False, True])
def test_sections_of_volumes_have_their_values_and_resolutions(tmp_path, inclusive, monkeypatch):
    n, d_min = 20, 4.0
    values = np.random.default_rng(0).uniform(0, 9, (n, n, n)).astype(np.float32)
    path = tmp_path / "a.mrc"
    write_volume(path, values, d_min, inclusive)
    assert is_volume(path)
    along_z, along_x, along_y = sections_of(path)
    from spindle.images import ImageSequence

    for experiment, at in ((along_z, values[:, :, 7].T), (along_x, values[7].T), (along_y, values[:, 7].T)):
        sequence = ImageSequence(experiment)
        assert len(sequence) == n
        np.testing.assert_array_equal(sequence.read(7)[0], at[::-1])
        # voxel (13, 14) of a section, of which the middle is (10, 10); rows run downwards
        d = experiment.detector.resolution_at(0, [[13.5, 5.5]], experiment.beam.s0)[0]
        assert d == pytest.approx(1 / (np.hypot(3, 4) * 2 / d_min / n), rel=1e-4)
        np.testing.assert_allclose(experiment.detector.beam_centre_px(experiment.beam.s0), [10.5, 9.5], atol=1e-6)
    monkeypatch.setattr(volumes, "LARGE", n - 1)
    assert [e.identifier for e in sections_of(path)] == ["a.mrc z"]
    (tmp_path / "b.mrc").write_bytes(path.read_bytes()[:500])
    with pytest.raises(FileFormatError, match=r"b\.mrc"):
        sections_of(tmp_path / "b.mrc")
    assert not is_volume(tmp_path / "b.expt") and not is_volume(tmp_path / "nothing.mrc")


def test_volumes_begin_at_the_origin(aid, running, page, tmp_path):
    """Photons are few there, and are seen: what is not empty is not white."""
    from spindle.models import Experiments

    values = np.zeros((20, 20, 20), np.float32)
    values[8:10, 8:10, 10] = 0.3
    write_volume(tmp_path / "a.mrc", values, 4.0)
    viewer = running()
    viewer.desk.add(Experiments([aid.experiment_of(aid.DETECTORS["two-theta"]), *sections_of(tmp_path / "a.mrc")]))
    browser = page(viewer)
    assert browser.evaluate("viewer.app.image") == 0
    browser.evaluate("viewer.app.openSet(1)")
    browser.wait("document.body.dataset.image === '10'")
    assert browser.evaluate("viewer.app.lookOf(viewer.app.view).white") == pytest.approx(0.3 * 25, rel=1e-3)
    browser.wait("location.hash.startsWith('#set=1&image=11&')")
    assert browser.evaluate("document.getElementById('label').textContent") == "section z = 0.0000 Å⁻¹ (11 of 20)"
    browser.evaluate("viewer.app.pointed(viewer.app.view, [13.5, 5.5])")
    browser.wait(
        "document.getElementById('readout').textContent.startsWith('x 0.0750  y 0.1000  z 0.0000 Å⁻¹  d 8.00 Å')"
    )


def test_the_first_page_and_image_are_in_the_address(aid, running):
    desk = running(aid.experiment_of(aid.DETECTORS["two-theta"])).desk

    def place(**words):
        return _place(desk, SimpleNamespace(**{"first_page": "images", "image": 1, "imageset": 0} | words))

    assert place() == ("", "") and place(image=4) == ("", "&set=0&image=4")
    assert place(first_page="lattice") == ("lattice.html", "&space=reciprocal")
    assert place(first_page="geometry") == ("lattice.html", "&space=laboratory")
    with pytest.raises(ParameterError, match="the images of set 0 are 1 to 5"):
        place(image=6)
    with pytest.raises(ParameterError, match="1 image sets are open"):
        place(imageset=1)


def test_an_image_that_several_ask_for_is_read_once(aid, monkeypatch):
    import threading

    from spindle_program_image_viewer.image_sets import ImageSets, OpenSet

    sets = ImageSets()
    sets.add([aid.experiment_of(aid.DETECTORS["two-theta"])])
    read, here, going_on = [], threading.Event(), threading.Event()

    def slowly(self, index, out=None):
        read.append(index)
        here.set()
        assert going_on.wait(20)
        return real(self, index, out)

    real = OpenSet.panels
    monkeypatch.setattr(OpenSet, "panels", slowly)
    found = []
    threads = [threading.Thread(target=lambda: found.append(sets.picture(0, 2))) for _ in range(3)]
    threads[0].start()
    assert here.wait(20)
    for thread in threads[1:]:
        thread.start()
    going_on.set()
    for thread in threads:
        thread.join(20)
    assert read == [2] and len(found) == 3 and all(f is found[0] for f in found) and not sets._being_read


def test_memory_of_images_is_used_again_but_never_while_somebody_looks(aid, monkeypatch):
    """Pictures that are held keep their values while others come and go in memory that is used again."""
    from spindle_program_image_viewer import image_sets

    monkeypatch.setattr(image_sets, "KEPT_BYTES", 1)
    sets = image_sets.ImageSets()
    experiment = aid.experiment_of(aid.DETECTORS["two-theta"], 9)
    sets.add([experiment])
    held = sets.picture(0, 0)
    expected = held.values.copy()
    places = set()
    for index in list(range(1, 9)) * 3:
        picture = sets.picture(0, index)
        assert picture.values[11, 7] == 1000 + index
        places.add(picture.values.ctypes.data)
        assert picture.values.ctypes.data != held.values.ctypes.data
    np.testing.assert_array_equal(held.values, expected)
    assert len(places) <= 4


def test_who_steps_faster_than_images_come_sees_those_that_came_in_order(aid, running, page, monkeypatch):
    import time

    viewer = running(aid.experiment_of(aid.DETECTORS["two-theta"], 30))
    browser = page(viewer)
    from spindle_program_image_viewer.image_sets import OpenSet

    read = OpenSet.panels
    monkeypatch.setattr(OpenSet, "panels", lambda self, index, out=None: (time.sleep(0.1), read(self, index, out))[1])
    browser.evaluate(
        "(() => { const v = viewer.app.view, draw = v.drawNow.bind(v); window.seen = [];"
        " v.drawNow = () => { draw(); seen.push(v.shown.image); }; })()"
    )
    browser.evaluate("document.getElementById('view').focus()")
    for _ in range(25):
        browser.key("ArrowRight")
        time.sleep(0.03)
    browser.wait("document.body.dataset.image === '25'")
    seen = browser.evaluate("seen")
    assert seen == sorted(seen)
    assert len(set(seen)) >= 5, seen


def test_playing_shows_each_image_in_turn(aid, running, page):
    browser = page(running(aid.experiment_of(aid.DETECTORS["two-theta"], 7)))
    browser.evaluate(
        "(() => { const v = viewer.app.view, draw = v.drawNow.bind(v); window.seen = [v.shown.image];"
        " v.drawNow = () => { draw(); if (seen.at(-1) !== v.shown.image) seen.push(v.shown.image); }; })()"
    )
    browser.evaluate("document.getElementById('view').focus()")
    browser.key(" ")
    browser.wait("seen.length > 16 && document.getElementById('status').textContent.endsWith('images/s')")
    browser.key(" ")
    browser.wait("document.getElementById('play').textContent === 'Play'")
    seen = browser.evaluate("seen")
    assert [image % 7 for image in range(len(seen))] == seen
    last = browser.evaluate("[viewer.app.image + 1, document.getElementById('label').textContent]")
    assert last[1].startswith(f"image {last[0]},")
