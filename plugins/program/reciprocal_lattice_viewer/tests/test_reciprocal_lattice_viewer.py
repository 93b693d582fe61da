"""`spindle reciprocal_lattice_viewer`: where points are, what the page holds, and what it does in a browser."""

from __future__ import annotations

import base64
import html
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import spindle
from spindle.errors import UserError
from spindle.geometry import rotation_matrix
from spindle.models import Experiments, ImageSet, Scan
from spindle.table import Flag, MaskCode, ReflectionTable, Shoeboxes
from spindle.testing import PluginContract
from spindle.testing.refinement_problems import rotation_experiment, spots_of
from spindle_lib_reciprocal_view.points import displaced, points_of, reversed_axis

TURN = rotation_matrix(np.array([0.0, 0.6, 0.8]), 0.2)


class TestReciprocalLatticeViewerPlugin(PluginContract):
    slot = "program"
    name = "reciprocal_lattice_viewer"


@pytest.fixture(scope="module")
def lattices():
    """Two lattices on the images of one sweep, with 40 spots of none; a tenth are outliers, half of the second are integrated."""
    images = ImageSet(template="x_####.cbf")
    first = replace(rotation_experiment(40), imageset=images)
    second = replace(first, identifier="other", crystal=replace(first.crystal, A=TURN @ first.crystal.A))
    tables = [spots_of(first, 4.0, 0), spots_of(second, 4.0, 1)]
    n = 40
    rng = np.random.default_rng(0)
    tables.append(
        ReflectionTable(
            {
                "id": np.full(n, -1), "panel": np.zeros(n), "miller_index": np.zeros((n, 3)), "flags": np.full(n, int(Flag.STRONG)),
                "xyzobs.px.value": rng.uniform(0, 1, (n, 3)) * [600, 600, 40], "xyzobs.px.variance": np.ones((n, 3)),
            }
        )
    )  # fmt: skip
    table = ReflectionTable.concatenate([t.without("s1", "entering") for t in tables])
    flags = table["flags"].copy()
    flags[::10] |= np.uint64(int(Flag.CENTROID_OUTLIER))
    flags[np.flatnonzero(table["id"] == 1)[::2]] |= np.uint64(int(Flag.INTEGRATED_SUM))
    table["flags"], table["imageset_id"] = flags, np.zeros(len(table))
    table["n_signal"] = np.arange(len(table)) % 50
    return Experiments([first, second]), table


def make(experiments, table, tmp_path=None, **params):
    result = spindle.run(
        "reciprocal_lattice_viewer", experiments, table, **{k.replace("__", "."): v for k, v in params.items()}
    )
    ((name, write),) = result.files.items()
    if tmp_path is None:
        return result
    path = tmp_path / Path(name).name
    write(path)
    return path


def content(path):
    """Meta data and arrays of a page."""
    text = path.read_text()
    meta = json.loads(re.search(r'<script id="meta" type="application/json">(.*?)</script>', text, re.DOTALL)[1])
    kinds = {"position": "<f4", "more": "<f4", "status": "u1", "hkl": "<i2", "lab": "<f4", "extra": "<f4", "row": "<u4"}
    arrays = {}
    for name, kind in kinds.items():
        packed = re.search(rf'<script id="{name}" type="text/plain">(.*?)</script>', text, re.DOTALL)[1]
        arrays[name] = np.frombuffer(base64.b64decode(packed), kind)
    return meta, arrays


def test_points_are_lattice_points(lattices):
    experiments, table = lattices
    points = points_of(experiments, [table])
    for i, experiment in enumerate(experiments):
        own = points.lattice == i
        np.testing.assert_allclose(points.position[own], table["miller_index"][own] @ experiment.crystal.A.T, atol=1e-9)
    assert (points.lattice == -1).sum() == 40
    assert (points.status & 1).sum() == len(table) - 40
    assert ((points.status & 2) != 0).sum() == -(-int((table["id"] == 1).sum()) // 2)
    np.testing.assert_array_equal(points.pixels, table["n_signal"])


def test_a_lattice_turned_the_wrong_way_is_none(lattices):
    experiments, table = lattices
    own = table["id"] == 0
    wrong = points_of(Experiments([reversed_axis(e) for e in experiments]), [table]).position[own]
    off = np.linalg.norm(wrong - table["miller_index"][own] @ experiments[0].crystal.A.T, axis=1)
    assert np.median(off) > 0.02
    still = replace(experiments[0], goniometer=None, scan=Scan((1, 1), (0.0, 0.0)))
    assert reversed_axis(still) is still


def test_the_beam_is_put_where_it_is_said_to_be(lattices):
    moved = displaced(lattices[0][0], (50.0, 61.5), None)
    np.testing.assert_allclose(moved.detector.beam_centre(moved.beam.s0)[1], [50.0, 61.5], atol=1e-9)
    assert moved.detector[0].distance == pytest.approx(lattices[0][0].detector[0].distance)
    with pytest.raises(UserError, match="has 1 panels"):
        displaced(lattices[0][0], (50.0, 61.5), 3)


def test_several_files_stay_with_their_experiments(lattices):
    experiments, table = lattices
    alone = Experiments(
        replace(e, imageset=ImageSet(template=f"{k}_####.cbf"), scan=replace(e.scan)) for k, e in enumerate(experiments)
    )
    parts = []
    for number, name in ((1, "other"), (0, "sweep")):
        part = table.select(table["id"] == number).without("imageset_id")
        part["id"], part.identifiers = np.zeros(len(part)), {0: name}
        parts.append(part)
    meta = make(alone, parts).summary
    assert meta["n_without_lattice"] == 0 and meta["n_points"] == sum(len(p) for p in parts)
    rows = make(alone, parts).tables[0].rows
    assert [row[3] for row in rows] == [len(parts[1]), len(parts[0])]


def test_pixels_are_counted_in_shoeboxes_and_calculated_places_fill_in(lattices):
    experiments, table = lattices
    few = table.select(np.arange(3)).without("n_signal")
    box = np.tile(np.array([[0, 2, 0, 2, 0, 1]], np.int32), (3, 1))
    mask = np.array([1, 9, 9, 1, 9, 9, 9, 9, 1, 1, 1, 1], np.uint8)
    assert MaskCode.STRONG == 8
    few["shoebox"] = Shoeboxes(
        np.zeros(3, np.uint32), box, np.arange(0, 13, 4), np.zeros(12, np.float32), mask, np.zeros(12, np.float32)
    )
    assert points_of(experiments, [few]).pixels.tolist() == [2, 4, 0]
    place = few["xyzobs.px.value"].copy()
    few["xyzcal.px"], place[1] = few["xyzobs.px.value"], 0
    few["xyzobs.px.value"] = place
    np.testing.assert_allclose(
        points_of(experiments, [few]).position[1], few["miller_index"][1] @ experiments[0].crystal.A.T, atol=1e-9
    )


def test_the_page_holds_the_points_and_needs_nothing_else(lattices, tmp_path):
    experiments, table = lattices
    path = make(experiments, table, tmp_path, output__html="a.html")
    meta, arrays = content(path)
    points = points_of(experiments, [table])
    order = np.lexsort(points.position.T)
    other = arrays["position"].reshape(-1, 3)
    np.testing.assert_allclose(other[np.lexsort(other.T)], points.position[order], atol=1e-6)
    assert meta["counts"] == np.bincount(np.where(points.status & 2, 2, points.status & 1)).tolist()
    assert [entry["count"] for entry in meta["lattices"]] == np.bincount(points.lattice + 1).tolist()
    text = re.sub(r'<script id="\w+" type="text/plain">.*?</script>', "", path.read_text(), flags=re.DOTALL)
    assert not re.search(r"https?:|//cdn|src=|<link|import\(", text), "the page asks the network for something"
    first = path.read_bytes()
    make(experiments, table, tmp_path, output__html="a.html")
    assert path.read_bytes() == first


def test_parameters_say_what_is_seen_first(lattices, tmp_path):
    experiments, table = lattices
    turned = np.eye(4)
    turned[:3, :3] = 2 * TURN
    meta, _ = content(
        make(experiments, table, tmp_path, display="indexed", outlier_display="inliers", experiment_ids=(1, -1), d_min=3.0, z_min=2.0,
             n_min=3, black_background=False, show_rotation_axis=True, marker_size=7, model_view_matrix=tuple(turned.T.ravel()),
             max_experiments=1, autospin=True)
    )  # fmt: skip
    options = meta["options"]
    assert options["statuses"] == [False, True, True] and options["outliers"] == "inliers"
    assert [entry["shown"] for entry in meta["lattices"]] == [True, False, True]
    assert options["d"][0] == 3 and options["z"] == [2, None] and options["n"] == [3, None] and options["size"] == 7
    np.testing.assert_allclose(options["rotation"], TURN.ravel(), atol=1e-12)
    assert meta["toggles"] == 2 and options["spin"] and options["spindle"] and not options["black"]
    plain, _ = content(make(experiments, table, tmp_path))
    rotation = np.reshape(plain["options"]["rotation"], (3, 3))
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(rotation[2], -np.array(plain["beam"]), atol=1e-12)
    np.testing.assert_allclose(rotation[0], plain["axis"], atol=1e-12)


def test_in_the_crystal_frame_lattices_fall_on_each_other(lattices, tmp_path):
    experiments, table = lattices
    meta, arrays = content(make(experiments, table, tmp_path, crystal_frame=True))
    lattice = arrays["more"].reshape(-1, 4)[:, 1]
    for number, experiment in enumerate(experiments, 1):
        own = lattice == number
        place = arrays["hkl"].reshape(-1, 3)[own] @ experiment.crystal.B.T
        np.testing.assert_allclose(arrays["position"].reshape(-1, 3)[own], place, atol=1e-6)
    np.testing.assert_allclose(meta["lattices"][1]["axes"], meta["lattices"][2]["axes"], atol=1e-12)


def test_names_of_files_do_not_break_the_page(lattices, tmp_path):
    from spindle_lib_reciprocal_view.page import page_writer

    experiments, table = lattices
    meta, _ = content(make(experiments, table, tmp_path))
    meta["title"] = meta["lattices"][0]["name"] = "</script><b>@META@"
    page_writer(meta, points_of(experiments, [table]))(tmp_path / "b.html")
    text = (tmp_path / "b.html").read_text()
    assert "<title>Reciprocal lattice: &lt;/script&gt;&lt;b&gt;@META@</title>" in text
    assert content(tmp_path / "b.html")[0]["lattices"][0]["name"] == meta["title"]


def test_what_makes_no_sense_is_refused(lattices, caplog):
    experiments, table = lattices
    with pytest.raises(UserError, match="give experiments and their spots"):
        spindle.run("reciprocal_lattice_viewer", experiments)
    with pytest.raises(UserError, match="no positions"):
        make(experiments, table.without("xyzobs.px.value"))
    with pytest.raises(UserError, match="there is no experiment 7"):
        make(experiments, table, experiment_ids=(7,))
    with pytest.raises(UserError, match="are no rotation"):
        make(experiments, table, model_view_matrix=(1.0,) * 16)
    with pytest.raises(UserError, match="give that, too"):
        make(experiments, table, beam_centre_panel=0)
    with pytest.raises(UserError, match="have no crystal"):
        make(Experiments([replace(e, crystal=None) for e in experiments]), table, crystal_frame=True)
    make(experiments, table.without("n_signal"), n_min=3, partiality_min=0.5)
    assert "n_min= and n_max= have no effect" in caplog.text and "no partiality" in caplog.text
    assert "hide all" not in caplog.text
    make(experiments, table, d_min=5000.0)
    assert f"hide all {len(table)} spots" in caplog.text


@pytest.mark.parametrize("rows", [0, 1])
def test_few_points_make_a_page_too(lattices, tmp_path, rows):
    experiments, table = lattices
    meta, arrays = content(make(experiments, table.select(np.arange(rows)), tmp_path))
    assert len(arrays["status"]) == rows and sum(meta["counts"]) == rows


# -- in a browser

# What a person does, in steps; what the page says after each is left in a data attribute of the body.
VISIT = """
<script>
const log = [];
const say = (name) => log.push([name, Number(state.visible), state.nearest || "", state.problem || ""]);
const set = (id, value) => { $(id).value = value; $(id).dispatchEvent(new Event("input")); };
const at = (kind, x, y, more) => canvas.dispatchEvent(new PointerEvent(kind, { pointerId: 1, clientX: x, clientY: y, ...more }));
const steps = [
  () => say("start"),
  () => set("dmin", 6),
  () => { say("dmin"); set("dmin", ""); $("lattice_1").click(); },
  () => { say("without lattice 0"); $("lattice_1").click(); set("outliers", "outliers"); },
  () => { say("outliers"); set("outliers", ""); $("show_integrated").click(); },
  () => { say("without integrated"); $("show_integrated").click(); set("zmin", 10); set("zmax", 20); },
  () => { say("z"); set("zmin", ""); set("zmax", ""); set("nmin", 40); },
  () => { say("pixels"); set("nmin", ""); for (const k of ["status", "z", "resolution", "lattice"]) { set("colouring", k); draw(); } },
  () => { for (const k of ["cells", "spindle", "beam", "black", "fold"]) { $(k).click(); draw(); } },
  () => { at("pointerdown", 300, 300); at("pointermove", 360, 330); at("pointermove", 380, 300, { shiftKey: true }); at("pointerup", 380, 300); },
  () => canvas.dispatchEvent(new WheelEvent("wheel", { deltaY: -300, clientX: 300, clientY: 300, cancelable: true })),
  () => { for (const b of $("views").children) { b.click(); draw(); } },
  () => { $("reset").click(); $("nearest").click(); draw(); at("pointermove", ...onScreen([...position.slice(0, 3)])); },
  () => { say("nearest"); const r = eye.rotation; log.push(["turn", dot(r.slice(0, 3), cross(r.slice(3, 6), r.slice(6, 9)))]); },
  () => { $("choose_2").click(); },
  () => { log.push(["chosen lattice", Number(state.chosen)]); hideChosen(true); },
  () => { say("hidden lattice"); showHidden(); set("tool", "box"); $("tool").dispatchEvent(new Event("change")); },
  () => { at("pointerdown", 0, 0, { button: 0 }); at("pointermove", 265, 300); at("pointerup", 265, 600); },
  () => {
    let expected = 0;
    for (let i = 0; i < n; i++) { const [x] = onScreen(pointAt(i)); if (x <= 265) expected += 1; }
    log.push(["box", Number(state.chosen), expected]);
    log.push(["rows", chosenRows().length]);
    choose(() => false);
    set("tool", "measure"); $("lattice_2").click(); $("lattice_0").click(); $("zone").value = "1 -1 0"; $("lookzone").click();
  },
  () => {  // two vectors between neighbours of the first lattice, clicked; the third is found
    log.push(["zone", dot(eye.rotation.slice(6, 9), norm(minus(direct[0], direct[1])))]);
    rotate(norm([1, 2, 3]), 0.7);  // out of the zone, where points stand behind each other
    const find = (h) => { for (let i = 0; i < n; i++) if (more[4 * i + 1] === 1 && [0, 1, 2].every((k) => hkl[3 * i + k] === h[k])) return i; return -1; };
    const pairs = [[1, 0, 0], [0, 1, 0]].map((step) => {
      for (let i = 0; i < n; i++) {
        const j = more[4 * i + 1] === 1 ? find(step.map((s, k) => hkl[3 * i + k] + s)) : -1;
        if (j >= 0) return [i, j];
      }
      return null;
    });
    for (const [i, j] of pairs) {
      for (const k of [i, j]) {
        eye.scale = 30;  // so near that no other point is nearer
        const f = frame(), [a, b] = seen(...pointAt(k));
        eye.move[0] -= f.x + f.scale * a - 265; eye.move[1] += f.y - f.scale * b - 300;
        const [x, y] = onScreen(pointAt(k));
        at("pointerdown", x, y); at("pointerup", x, y);
      }
    }
    log.push(["vectors", measured.vectors.map(({ v }) => v)]);
    makeCell();
    log.push(["cell", state.cell, measured.explained]);
    $("lattice_2").click(); $("lattice_0").click();
  },
  () => { set("centrex", Number($("centrex").value) + 1.5); set("centrey", Number($("centrey").value) - 0.8); },
  () => {
    const some = []; for (let i = 0; i < n; i += 97) some.push([row[i], ...pointAt(i)]);
    log.push(["moved", Number($("centrex").value), Number($("centrey").value), some, $("command").textContent]);
    $("asbefore").click(); $("reversed").click();
  },
  () => {
    const some = []; for (let i = 0; i < n; i += 97) some.push([row[i], ...pointAt(i)]);
    log.push(["reversed", some]); $("reversed").click();
    set("distance", Number($("distance").value) + 7);
    const g = geometryNow(); log.push(["distance", g.x, g.y, g.distance]); $("asbefore").click();
  },
  () => { for (const id of ["ewald", "cells"]) $(id).click(); draw(); for (const s of ["poles", "laboratory"]) { set("space", s); $("space").dispatchEvent(new Event("change")); draw(); } },
  () => {
    const off = []; for (let i = 0; i < n; i += 97) { const [a, b] = seen(...lab.slice(3 * i, 3 * i + 3)); off.push(a * a + b * b < 1e9); }
    log.push(["spaces", off.every(Boolean), $("labels").textContent]);
    set("space", "poles"); $("space").dispatchEvent(new Event("change"));
    log.push(["pole", seen(0, 0, 2), (() => { const [a, b] = seen(...eye.rotation.slice(0, 3)); return Math.hypot(a, b); })()]);
    set("colouring", "intensity"); draw();
    document.body.dataset.log = JSON.stringify(log);
  },
];
// One after the other, each when what the one before has set off is done, however busy the machine is.
const take = (i) => { if (i < steps.length) { steps[i](); setTimeout(take, 150, i + 1); } };
setTimeout(take, 150, 0);
</script></body>
"""


@pytest.fixture(scope="module")
def browser():
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    path = next((p for n in names if (p := shutil.which(n))), None)
    if path is None:
        pytest.skip("no Chromium is installed; it is needed to open the page")
    return path


def visit(browser, path, tmp_path):
    """The attributes of the body after the page was open for some seconds of its own time."""
    words = ["--headless", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}", "--use-gl=angle",
             "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--window-size=800,600", "--virtual-time-budget=9000",
             "--dump-dom", path.as_uri()]  # fmt: skip
    done = subprocess.run([browser, *words], capture_output=True, text=True, check=False, timeout=120)
    body = re.search(r"<body([^>]*)>", done.stdout)
    assert body, done.stderr[-2000:]
    found = {k: html.unescape(v) for k, v in re.findall(r'data-(\w+)="([^"]*)"', body[1])}
    if "no WebGL" in found.get("problem", ""):
        pytest.skip("the Chromium that is installed has no WebGL")
    return found


MORE = (
    "chosen lattice",
    "hidden lattice",
    "box",
    "rows",
    "zone",
    "vectors",
    "cell",
    "moved",
    "reversed",
    "distance",
    "spaces",
    "pole",
)


def check_tools(seen, experiments, table):
    """What the page said of choosing, measuring, moving and spaces, against the models."""
    points = points_of(experiments, [table])
    second = int((points.lattice == 1).sum())
    assert seen["chosen lattice"] == [second] and seen["hidden lattice"][0] == len(table) - second
    assert 0 < seen["box"][0] < len(table) and seen["box"][0] == seen["box"][1] == seen["rows"][0]
    assert seen["zone"][0] == pytest.approx(1, abs=1e-9)
    first = experiments[0].crystal
    vectors = np.array(seen["vectors"][0])
    assert np.abs(np.abs(np.linalg.inv(first.A) @ vectors.T) - np.eye(3)[:, :2]).max() < 1e-3
    # The cell is the lattice's own: its volume, and its edges but for the choice of the third.
    cell = np.array(seen["cell"][0].split(), float)
    assert seen["cell"][1] > 0.99
    volume = np.prod(cell[:3]) * np.sqrt(
        1 - (np.cos(np.deg2rad(cell[3:])) ** 2).sum() + 2 * np.prod(np.cos(np.deg2rad(cell[3:])))
    )
    assert volume == pytest.approx(first.volume, rel=2e-3)
    x, y, some, command = seen["moved"]
    other = Experiments([displaced(e, (x, y), None) for e in experiments])
    places = points_of(other, [table]).position
    rows = [int(v[0]) for v in some]
    np.testing.assert_allclose([v[1:] for v in some], places[rows], atol=1e-6)
    assert f"beam_centre={x:.4f},{y:.4f}" in command
    places = points_of(Experiments([reversed_axis(e) for e in experiments]), [table]).position
    np.testing.assert_allclose(
        [v[1:] for v in seen["reversed"][0]], places[[int(v[0]) for v in seen["reversed"][0]]], atol=1e-6
    )
    detector, s0 = experiments[0].detector, experiments[0].beam.s0
    np.testing.assert_allclose(seen["distance"], [*detector.beam_centre(s0)[1], detector[0].distance + 7], atol=1e-3)
    assert seen["spaces"][0] and "rotation axis" in seen["spaces"][1] and "Ewald" in seen["spaces"][1]
    assert np.linalg.norm(seen["pole"][0][:2]) <= 1 and seen["pole"][1] == pytest.approx(1, abs=1e-6)


def test_the_page_works_in_a_browser(lattices, tmp_path, browser):
    experiments, table = lattices
    path = make(experiments, table, tmp_path)
    path.write_text(path.read_text().replace("</body>", VISIT))
    found = visit(browser, path, tmp_path)
    assert found.get("problem") is None and found["ready"] == "yes", found.get("problem")
    seen = {name: rest for name, *rest in json.loads(found["log"])}
    more = {name: seen.pop(name) for name in MORE}
    check_tools(more, experiments, table)
    points = points_of(experiments, [table])
    d = 1 / np.linalg.norm(points.position, axis=1)
    assert {name: rest[0] for name, rest in seen.items()} == {
        "start": len(table),
        "dmin": (d >= 6).sum(),
        "without lattice 0": (points.lattice != 0).sum(),
        "outliers": ((points.status & 4) != 0).sum(),
        "without integrated": ((points.status & 2) == 0).sum(),
        "z": ((points.z >= 10) & (points.z <= 20)).sum(),
        "pixels": (points.pixels >= 40).sum(),
        "nearest": len(table),
        "turn": pytest.approx(1.0, abs=1e-9),
    }
    assert "d = " in seen["nearest"][1] and "lattice" in seen["nearest"][1]


# Frames at a pace that the test sets, while the view is turned, and then at rest.
PACES = """
<script>
let clock = 0;
performance.now = () => clock;
const turned_at = (step, times) => { for (let k = 0; k < times; k++) { clock += step; moved(); draw(); } return Number(state.drawn); };
setTimeout(() => {
  const log = { all: packed.n };
  log.calibrated = smooth >= 10000 && smooth <= n;
  smooth = n;
  log.fast = turned_at(10, 4);
  log.slow = turned_at(45, 4);
  log.faster = turned_at(10, 10);
  clock += 1000; draw(); log.rest = Number(state.drawn);
  $("dmin").value = 6; $("dmin").dispatchEvent(new Event("input")); draw();
  log.filtered = Number(state.drawn);
  state.log = JSON.stringify(log);
}, 600);
</script></body>
"""


def test_fewer_points_are_drawn_while_a_slow_machine_moves_them(lattices, tmp_path, browser):
    experiments, table = lattices
    many = ReflectionTable.concatenate([table] * (1 + 20_000 // len(table)))
    path = make(experiments, many, tmp_path)
    path.write_text(path.read_text().replace("</body>", PACES))
    found = visit(browser, path, tmp_path)
    assert found.get("problem") is None, found.get("problem")
    log = json.loads(found["log"])
    assert log["calibrated"] and log["all"] == log["fast"] == log["rest"] == len(many)
    assert log["slow"] == 10_000 < log["faster"] < len(many)
    points = points_of(experiments, [table])
    d = 1 / np.linalg.norm(points.position, axis=1)
    assert log["filtered"] == (d >= 6).sum() * (len(many) // len(table))


def test_a_page_without_points_opens(lattices, tmp_path, browser):
    experiments, table = lattices
    found = visit(browser, make(experiments, table.select(np.arange(0)), tmp_path), tmp_path)
    assert found.get("problem") is None and found["ready"] == "yes" and found["visible"] == "0"
