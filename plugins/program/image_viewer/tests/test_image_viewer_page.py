"""The page in a browser, driven as a person would; every test fails for any error of a script."""

from __future__ import annotations

import numpy as np
import pytest

from spindle_lib_pictures.canvas import Canvas

NAMES = ("two-theta", "24 panels", "64 panels")

# What is on the screen is what was asked for last.
SETTLED = """(() => {
  const v = viewer.app.view;
  return v.busy === 0 && !v.pending && v.shown.key === JSON.stringify(v.words(v.image, v.wanted()));
})()"""

# The middle of the area in which pixels of the canvas on the screen are darker than a value, in pixels of the canvas.
DARK = """(() => {{
  const view = viewer.app.view, c = view.canvas, ratio = c.width / c.clientWidth;
  view.drawNow();
  const [x0, y0] = [{x} - {r}, {y} - {r}].map((v) => Math.round(v * ratio));
  const n = Math.round(2 * {r} * ratio);
  const data = view.context.getImageData(x0, y0, n, n).data;
  let sx = 0, sy = 0, m = 0;
  for (let k = 0; k < n * n; k += 1) if (data[4 * k] < 60 && data[4 * k + 1] < 60) {{ sx += k % n + 0.5; sy += Math.floor(k / n) + 0.5; m += 1; }}
  return m ? [(x0 + sx / m) / ratio, (y0 + sy / m) / ratio, m] : null;
}})()"""


@pytest.mark.parametrize("projection", ["image", "lab"])
@pytest.mark.parametrize("name", NAMES)
def test_bright_pixels_are_where_the_models_say(aid, running, page, name, projection):
    experiment = aid.experiment_of(aid.DETECTORS[name])
    browser = page(running(experiment, projection=projection, show_beam_center=False))
    placements = Canvas(experiment.detector, experiment.beam, projection).placements
    for panel in {0, len(placements) // 2, len(placements) - 1}:
        x, y = placements[panel] @ (7.5, 11.5, 1.0)
        browser.evaluate(f"viewer.app.view.setCamera({{x: {x + 3}, y: {y - 2}, zoom: 12}})")
        at = browser.evaluate(f"viewer.toScreen({panel}, 7.5, 11.5)")
        expected = browser.evaluate(f"viewer.app.view.toScreen({x}, {y})")
        assert np.allclose(at, expected, atol=1e-6)
        # The picture of the place itself has come, and was painted.
        browser.wait(SETTLED)
        found = browser.evaluate(DARK.format(x=at[0], y=at[1], r=18))
        assert np.hypot(found[0] - at[0], found[1] - at[1]) / 12 < 0.1  # pixels of the detector


def test_keys_wheel_and_drag(aid, running, page):
    browser = page(running(aid.experiment_of(aid.DETECTORS["two-theta"])))
    assert browser.evaluate("document.body.dataset.image") == "0"
    browser.evaluate("document.getElementById('view').focus()")
    browser.key("ArrowRight")
    browser.wait("document.body.dataset.image === '1'")
    browser.key("End")
    browser.wait("document.body.dataset.image === '4'")
    assert "12.00° to 12.50°" in browser.evaluate("document.getElementById('label').textContent")
    says = "document.getElementById('status').textContent"
    before = browser.evaluate(says)
    assert before.startswith("black") and "reading image" in browser.evaluate(f"(viewer.app.waits(true), {says})")
    assert browser.evaluate(f"(viewer.app.waits(false), viewer.app.shown(viewer.app.view), {says})") == before
    # The point below the pointer stays there.
    before = browser.evaluate("viewer.app.view.toPicture(300, 200)")
    box = browser.evaluate(
        "(() => { const b = viewer.app.view.canvas.getBoundingClientRect(); return [b.left, b.top]; })()"
    )
    zoom = browser.evaluate("viewer.app.view.camera.zoom")
    browser.mouse("mouseWheel", box[0] + 300, box[1] + 200, deltaX=0, deltaY=-600)
    browser.wait(f"viewer.app.view.camera.zoom > {2 * zoom}")
    assert np.allclose(browser.evaluate("viewer.app.view.toPicture(300, 200)"), before, atol=1e-9)
    before = browser.evaluate("viewer.app.view.toPicture(300, 200)")
    browser.drag((box[0] + 300, box[1] + 200), (box[0] + 340, box[1] + 230))
    assert np.allclose(browser.evaluate("viewer.app.view.toPicture(340, 230)"), before, atol=1e-9)
    browser.key("f")
    assert browser.evaluate("viewer.app.view.camera.zoom") == pytest.approx(zoom)


def test_the_value_resolution_and_panel_below_the_pointer(aid, running, page):
    experiment = aid.experiment_of(aid.DETECTORS["24 panels"])
    browser = page(running(experiment), "&image=3")
    browser.evaluate("viewer.app.view.setCamera({...viewer.app.view.camera, zoom: 5})")
    detector = experiment.detector
    panel = 9
    place = Canvas(detector, experiment.beam).placements[panel] @ (7.5, 11.5, 1.0)
    browser.evaluate(f"viewer.app.view.setCamera({{x: {place[0]}, y: {place[1]}, zoom: 9}})")
    x, y = browser.evaluate(
        f"(() => {{ const b = viewer.app.view.canvas.getBoundingClientRect(), p = viewer.toScreen({panel}, 7.5, 11.5); return [p[0] + b.left, p[1] + b.top]; }})()"
    )
    browser.mouse("mouseMoved", x, y)
    text = browser.wait(
        "document.getElementById('readout').textContent.includes('1002') && document.getElementById('readout').textContent"
    )
    d = detector.resolution_at(panel, [[7.5, 11.5]], experiment.beam.s0)[0]
    assert f"panel {panel} p9" in text and "x 7  y 11" in text and f"d {d:.3f} Å" in text


def test_numbers_are_written_into_pixels(aid, running, page):
    browser = page(running(aid.experiment_of(aid.DETECTORS["two-theta"])))
    browser.evaluate("viewer.app.view.setCamera({x: 7.5, y: 11.5, zoom: 50})")
    browser.wait("viewer.app.view.values !== null")
    found = browser.evaluate(
        "(() => { const v = viewer.app.view.values, h = v.header; return v.numbers[(11 - h.y0) * h.width + 7 - h.x0]; })()"
    )
    assert found == 1000


@pytest.mark.parametrize("scheme", ["grayscale", "rainbow", "heatmap", "invert"])
def test_colours_are_those_of_pictures_on_disk(aid, running, page, scheme):
    """Of full and no intensity, as `spindle export_bitmaps` paints them."""
    from spindle_lib_pictures.display import palette
    from spindle_lib_pictures.kernels import HIGHEST, LOWEST

    browser = page(running(aid.experiment_of(aid.DETECTORS["two-theta"]), color_scheme=scheme, brightness=100))
    names = {"grayscale": "greyscale", "invert": "inverse_greyscale"}
    colours = palette(names.get(scheme, scheme)).astype(int)
    browser.evaluate("viewer.app.view.setCamera({x: 7.5, y: 11.5, zoom: 20})")
    browser.wait("viewer.app.view.shown.header.binning <= 1 && viewer.app.view.shown.header.width > 1")
    script = "(() => { const v = viewer.app.view, p = v.toScreen(7.5, 11.5); return Array.from(v.context.getImageData(p[0], p[1], 1, 1).data).slice(0, 3); })()"
    browser.evaluate("viewer.app.view.drawNow()")
    assert np.abs(np.array(browser.evaluate(script)) - colours[HIGHEST]).max() <= 2
    assert np.abs(np.array(browser.evaluate("viewer.colours(0)")) - colours[LOWEST]).max() <= 6


def test_the_list_of_the_folder_opens_without_a_file(aid, running, browser, tmp_path):
    from spindle_lib_readers.testing.images import write_smv

    for i in range(2):
        write_smv(tmp_path / f"x_{i + 1:03d}.img", np.random.default_rng(i).poisson(5.0, (40, 60)))
    viewer = running()
    browser.problems.clear()
    browser.open("about:blank")
    browser.open(viewer.address)
    browser.wait("document.querySelector('dialog[open] .entry') !== null")
    browser.evaluate(
        "[...document.querySelectorAll('.entry')].find((e) => e.textContent.includes('x_###.img')).click()"
    )
    browser.wait("document.body.dataset.image === '0' && !document.querySelector('dialog[open]')")
    assert browser.evaluate("viewer.app.scene.n_images") == 2 and not browser.problems


@pytest.fixture
def lattice_page(aid, running, page):
    """A page with a spot of each kind on image 3."""
    from dataclasses import replace

    from spindle.models import Crystal
    from spindle.table import Flag, ReflectionTable

    n = 3
    table = ReflectionTable({
        "id": np.array([0, 0, 0], np.int32),
        "panel": np.zeros(n, np.uint64),
        "bbox": np.array([[5, 9, 9, 13, 2, 3], [20, 24, 30, 34, 2, 3], [40, 43, 50, 53, 2, 3]], np.int32),
        "flags": np.array([int(f) for f in (Flag.STRONG, Flag.PREDICTED, Flag.PREDICTED | Flag.INTEGRATED_SUM)], np.uint64),
        "miller_index": np.array([[1, 2, 3], [-1, 0, 4], [5, 0, 0]], np.int32),
        "xyzobs.px.value": np.array([[7.0, 11.0, 2.5], [0, 0, 0], [41.4, 51.4, 2.5]]),
        "xyzcal.px": np.array([[7.1, 11.1, 2.5], [22.1, 32.1, 2.5], [41.5, 51.5, 2.5]]),
    })  # fmt: skip
    crystal = Crystal(np.diag([0.02, 0.025, 0.03]), "P1")
    viewer = running(replace(aid.experiment_of(aid.DETECTORS["two-theta"]), crystal=crystal))
    viewer.desk.add_reflections([table], ["a.refl"])
    browser = page(viewer, "&image=3")
    browser.wait("viewer.app.view.tables.length === 1 && viewer.app.view.tables[0].row.length === 3")
    return browser


CORNER = "(() => { const b = viewer.app.view.canvas.getBoundingClientRect(); return [b.left, b.top]; })()"


def test_a_click_on_a_reflection_tells_all_of_it(lattice_page):
    browser = lattice_page
    left, top = browser.evaluate(CORNER)
    x, y = browser.evaluate("viewer.toScreen(0, 41.5, 51.5)")
    browser.mouse("mouseMoved", left + x, top + y)
    browser.wait("document.getElementById('readout').textContent.includes('integrated hkl 5 0 0 lattice 0')")
    browser.click(left + x, top + y)
    text = browser.wait("document.getElementById('reflection').textContent")
    assert "a.refl row 2, integrated" in text and "miller_index5  0  0" in text and "integrated_sum" in text
    browser.key("ArrowLeft")
    browser.wait("viewer.app.view.tables[0].row.length === 0")


def test_circles_and_crosses_are_drawn_where_the_table_says(lattice_page):
    browser = lattice_page
    browser.evaluate("viewer.app.view.setCamera({x: 30, y: 40, zoom: 10})")
    script = """(() => {{
      const v = viewer.app.view, [x, y] = viewer.toScreen(0, {x}, {y});
      v.drawNow();
      const d = v.context.getImageData(Math.round(x) - 1, Math.round(y) - 1, 3, 3).data;
      let n = 0;
      for (let k = 0; k < 9; k += 1) if (d[4 * k + 2] > d[4 * k] + 60) n += 1;
      return n;
    }})()"""
    assert browser.evaluate(script.format(x=22.1, y=32.1)) >= 3  # the middle of a cross, blue of the first lattice
    assert browser.evaluate(script.format(x=25.1, y=32.1)) == 0


def test_a_mask_is_drawn_undone_and_written(aid, running, page, tmp_path):
    from spindle.files import read_mask

    experiment = aid.experiment_of(aid.DETECTORS["two-theta"])
    browser = page(running(experiment))
    left, top = browser.evaluate(CORNER)

    def at(x, y):
        u, v = browser.evaluate(f"viewer.toScreen(0, {x}, {y})")
        return left + u, top + v

    browser.evaluate("viewer.app.tools.setTool('rectangle')")
    browser.drag(at(20.1, 30.2), at(30, 40), at(40.3, 50.1))
    browser.wait(
        "viewer.app.tools.state.shapes.length === 1 && document.getElementById('mask-says').textContent.startsWith('400 pixels')"
    )
    assert browser.evaluate("viewer.app.tools.state.shapes[0].rectangle") == [20, 40, 30, 50]
    browser.evaluate("viewer.app.tools.setTool('circle')")
    browser.drag(at(80, 60), at(84, 60), at(88.2, 60))
    browser.wait("viewer.app.tools.state.shapes.length === 2")
    assert browser.evaluate("viewer.app.tools.state.shapes[1].circle") == [80, 60, 8]
    browser.key("Backspace")
    browser.wait("viewer.app.tools.state.shapes.length === 1")
    browser.evaluate("viewer.app.tools.setTool('polygon')")
    for place in ((90, 10), (110, 10), (110, 30)):
        browser.click(*at(*place))
    browser.key("Enter")
    browser.wait("viewer.app.tools.state.shapes.length === 2")
    command = browser.wait(
        "(() => { const t = document.getElementById('mask-command').textContent; return t.includes('polygon') && t; })()"
    )
    assert command == (
        "spindle generate_mask imported.expt untrusted.panel=0 untrusted.rectangle=20,40,30,50 untrusted.panel=0 "
        "untrusted.polygon=90,10,110,10,110,30"
    )
    browser.evaluate("[...document.querySelectorAll('button')].find((b) => b.textContent === 'Write mask').click()")
    browser.wait("document.getElementById('mask-says').textContent.startsWith('Wrote')")
    (mask,) = read_mask(str(tmp_path / "pixels.npz"), experiment.detector)
    assert not mask[30:50, 20:40].any() and mask[29, 20] and 180 < np.count_nonzero(~mask[10:30, 90:110]) < 220


def test_a_threshold_is_tuned_live(aid, running, page):
    browser = page(running(aid.experiment_of(aid.DETECTORS["two-theta"]), show_threshold_pix=True, nsigma_s=4))
    browser.wait("document.getElementById('threshold-counts').textContent.includes('strong pixels')")
    browser.evaluate("viewer.app.tuning.choose('dispersion')")
    command = browser.wait(
        "(() => { const t = document.getElementById('threshold-command').textContent; return t.includes('algorithm=dispersion ') && t; })()"
    )
    assert "spotfinder.threshold.dispersion.sigma_strong=4" in command
    before = browser.evaluate("viewer.app.tuning.state.pixels.length")
    for name, value in (("sigma_background", 0), ("sigma_strong", 1)):
        browser.evaluate(
            f"(() => {{ const i = [...document.querySelectorAll('aside label')].find((l) => l.textContent === '{name}')"
            f".querySelector('input'); i.value = '{value}'; i.dispatchEvent(new Event('change')); }})()"
        )
    browser.wait(f"viewer.app.tuning.state.pixels.length > {before}")
    browser.evaluate(
        "[...document.querySelectorAll('button')].find((b) => b.textContent === 'Find spots of this image').click()"
    )
    browser.wait("document.getElementById('threshold-counts').textContent.includes('spots on this image')")


def test_a_line_is_measured(aid, running, page):
    experiment = aid.experiment_of(aid.DETECTORS["two-theta"])
    browser = page(running(experiment))
    left, top = browser.evaluate(CORNER)
    ends = [browser.evaluate(f"viewer.toScreen(0, {x}, 11.5)") for x in (2, 92)]
    browser.drag(*[(left + x, top + y) for x, y in ends], modifiers=8)  # with shift
    text = browser.wait("document.getElementById('measured').textContent")
    d = experiment.detector.resolution_at(0, [[2, 11.5], [92, 11.5]], aid.BEAM.s0)
    assert "90.0" in text and f"{d[0]:.3f} Å to {d[1]:.3f} Å" in text
    assert max(v or 0 for v in browser.evaluate("viewer.app.profile.value")) == 1000
    browser.evaluate("[...document.querySelectorAll('button')].find((b) => b.textContent === 'Radial profile').click()")
    assert browser.wait("viewer.app.radial.mean.length") > 20


def test_two_images_side_by_side_move_and_step_together(aid, running, page):
    browser = page(running(aid.experiment_of(aid.DETECTORS["two-theta"])))
    browser.evaluate("viewer.app.compare(true)")
    browser.wait("viewer.app.other.shown.image === 1")
    browser.evaluate("viewer.app.go(2)")
    browser.wait("viewer.app.view.shown.image === 2 && viewer.app.other.shown.image === 3")
    browser.evaluate("viewer.app.view.setCamera({x: 20, y: 30, zoom: 7})")
    assert browser.evaluate("viewer.app.other.camera") == {"x": 20, "y": 30, "zoom": 7}
    browser.evaluate("viewer.app.compare(false)")
    assert browser.evaluate("document.querySelectorAll('#views canvas').length") == 1
