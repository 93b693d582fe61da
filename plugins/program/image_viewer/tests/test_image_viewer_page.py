"""The page in a browser, driven as a person would; every test fails for any error of a script."""

from __future__ import annotations

import numpy as np
import pytest

from spindle_lib_pictures.canvas import Canvas

NAMES = ("two-theta", "24 panels", "64 panels")

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


@pytest.mark.parametrize(("name", "projection"), [*((n, "image") for n in NAMES), ("two-theta", "lab")])
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
        browser.wait(
            f"viewer.app.view.shown.header.binning === 1 && ({DARK.format(x=at[0], y=at[1], r=18)} || [])[2] > 60"
        )
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
    browser.wait("viewer.app.view.shown.header.binning === 1 && viewer.app.view.shown.header.width > 1")
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
