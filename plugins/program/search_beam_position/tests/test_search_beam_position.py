"""`spindle search_beam_position`: known beam centres from spots and images, what it cannot tell, its files and errors."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import spindle
from spindle.contracts.beam_position import BeamPositionError
from spindle.errors import ParameterError, UserError
from spindle.files import read_experiments, read_reflections
from spindle.geometry import rotate_about
from spindle.models import Detector, Experiments, ImageSet
from spindle.testing import shared_data
from spindle.testing.beam_position import diffuse_image, misplaced_sweep
from spindle_lib_readers.testing.mini_cbf import write_mini_cbf

PIXEL = 0.2  # mm, of `misplaced_sweep`
TRUE_CENTRE = (495.0, 505.0)  # pixels, of `misplaced_sweep`


def search(experiments, reflections=(), **params):
    return spindle.run(
        "search_beam_position", experiments, reflections, **{k.replace("__", "."): v for k, v in params.items()}
    )


def misplaced(offset, **options):
    sweeps, spots, _ = misplaced_sweep(offset, **options)
    return sweeps, spots.without("xyzobs.mm.value", "xyzobs.mm.variance", "s1", "rlp", "entering")


def centre(experiments, number=0):
    return experiments[number].detector.beam_centre_px(experiments[number].beam.s0, 0)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Five images with the beam at 312.4, 208.7, with a header that says something else."""
    folder = tmp_path_factory.mktemp("images")
    paths = []
    for i in range(5):
        pixels, good = diffuse_image((312.4, 208.7), seed=i)
        values = np.where(good, pixels, -1).astype(np.int32)
        paths.append(write_mini_cbf(folder / f"d_{i + 1:04d}.cbf", values))
    experiments = spindle.run(
        "import", files=paths, **{"geometry.detector.fast_slow_beam_centre": "300,215"}
    ).experiments
    return experiments


# -- spots


@pytest.mark.parametrize("offset", [(0.5, -0.5), (2.0, 1.0), (-9.0, 7.0), (14.0, 15.0)])
@pytest.mark.sampled(2)
def test_the_true_centre_is_found_from_far_away_too(offset):
    """Spots of the longest axis are 3.1 mm or 15.7 pixels apart: the last offset is larger."""
    sweeps, spots = misplaced(offset)
    result = search(sweeps, [spots])
    np.testing.assert_allclose(centre(result.experiments), TRUE_CENTRE, atol=0.05)
    found = result.summary["detectors"][0]
    np.testing.assert_allclose(found["old_px"], np.add(TRUE_CENTRE, -np.array(offset)), atol=1e-6)
    assert max(found["uncertainty_px"]) < 0.1


@pytest.mark.parametrize("axis", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0)])
def test_the_uncertainty_contains_a_tilt_that_is_not_in_the_models(axis):
    """A detector tilted by 0.3 degrees: the lattice fits best a quarter of a pixel away from the truth."""
    (sweep,), spots = misplaced((1.0, -0.5))
    panel = sweep.detector[0]
    middle = panel.origin + 0.5 * PIXEL * (np.array(panel.image_size) @ [panel.fast_axis, panel.slow_axis])
    fast, slow, arm = rotate_about(
        np.array([panel.fast_axis, panel.slow_axis, panel.origin - middle]), np.array(axis), np.full(3, np.radians(0.3))
    )
    tilted = Detector([replace(panel, fast_axis=fast, slow_axis=slow, origin=middle + arm)])
    result = search(Experiments([replace(sweep, detector=tilted)]), [spots])
    error = np.abs(centre(result.experiments) - TRUE_CENTRE).max()
    stated = result.summary["detectors"][0]["uncertainty_px"][0]
    assert error > 0.08 and error / 2 < stated < 3 * error


def test_nothing_but_the_place_of_the_detector_changes():
    sweeps, spots = misplaced((2.0, 1.0), n_images=20)
    result = search(sweeps, [spots]).experiments[0]
    old, new = sweeps[0].detector[0], result.detector[0]
    assert result.beam is sweeps[0].beam and result.goniometer is sweeps[0].goniometer and result.scan is sweeps[0].scan
    assert np.array_equal(new.fast_axis, old.fast_axis) and np.array_equal(new.slow_axis, old.slow_axis)
    assert abs((new.origin - old.origin) @ sweeps[0].beam.direction) < 1e-9, "the shift is normal to the beam"


def test_panels_of_a_hierarchy_move_together(tmp_path):
    sweeps, spots = misplaced((3.0, -2.0))
    whole = sweeps[0].detector[0]
    halves = [
        replace(whole, image_size=(500, 1000), name="left"),
        replace(whole, image_size=(500, 1000), name="right", origin=whole.origin + 100 * whole.fast_axis),
    ]
    frame = {"fast_axis": [1, 0, 0], "slow_axis": [0, 1, 0], "origin": [0, 0, -3.0]}
    hierarchy = frame | {"name": "root", "children": [{"panel": 0}, {"panel": 1}]}
    split = Experiments([replace(sweeps[0], detector=Detector(halves, hierarchy))])
    px = np.array(spots["xyzobs.px.value"])
    right = px[:, 0] >= 500
    table = spots.view()
    table["panel"] = right.astype(spots["panel"].dtype)
    px[right, 0] -= 500
    table["xyzobs.px.value"] = px
    moved = search(split, [table.without("bbox")], max_cell=75).experiments
    np.testing.assert_allclose(centre(moved), TRUE_CENTRE, atol=0.05)
    gap = moved[0].detector[1].origin - moved[0].detector[0].origin
    np.testing.assert_allclose(gap, 100 * whole.fast_axis, atol=1e-9)
    from spindle.files import write_experiments

    write_experiments(moved, tmp_path / "moved.expt")
    again = read_experiments(tmp_path / "moved.expt")[0].detector
    np.testing.assert_allclose(again.d, moved[0].detector.d, atol=1e-9)


def test_sweeps_of_one_detector_share_a_shift_and_others_have_their_own():
    (first,), spots = misplaced((2.0, 1.0), n_images=20)
    (second,), more = misplaced((2.0, 1.0), n_images=20, seed=5)
    (third,), other = misplaced((-3.0, 2.0), n_images=20, seed=8)
    distant = third.detector.replace_panels([replace(third.detector[0], identifier="another")])
    experiments = Experiments(
        [
            replace(first, imageset=ImageSet()),
            replace(second, detector=first.detector, imageset=ImageSet()),
            replace(third, detector=distant, imageset=ImageSet()),
        ]
    )
    result = search(experiments, [spots, more, other])
    assert result.experiments[0].detector is result.experiments[1].detector
    for number in range(3):
        np.testing.assert_allclose(centre(result.experiments, number), TRUE_CENTRE, atol=0.05)
    assert [d["sweeps"] for d in result.summary["detectors"]] == [[0, 1], [2]]


def test_one_still_is_ambiguous_and_says_so(caplog):
    """Without rotation a shift by the distance of two spots is a lattice translation, but for the curvature of the sphere."""
    sweeps, spots = misplaced((1.0, 1.0), n_images=1, width_deg=2.0, jitter_px=0.6)
    with caplog.at_level("INFO"):
        found = search(sweeps, [spots])
    assert "ambiguous" in caplog.text
    np.testing.assert_allclose(centre(found.experiments), TRUE_CENTRE, atol=1.0)


def test_the_seed_chooses_the_spots_and_the_answer_hardly_depends_on_it():
    sweeps, spots = misplaced((1.0, 0.0))
    one, two, three = (centre(search(sweeps, [spots], max_reflections=400, seed=s).experiments) for s in (1, 1, 2))
    assert np.array_equal(one, two) and not np.array_equal(one, three)
    assert np.abs(one - three).max() < 0.1


def test_too_few_spots_and_noise_end_in_words():
    sweeps, spots = misplaced((1.0, 0.0), n_images=20)
    with pytest.raises(BeamPositionError, match=r"too few|no sweep or still has"):
        search(sweeps, [spots.select(np.arange(8))])
    with pytest.raises(BeamPositionError, match="no sweep or still has 10 spots"):
        search(sweeps, [spots.select(np.arange(8))], max_cell=60)
    with pytest.raises(UserError, match="no strong spots"):
        search(sweeps, [spots], image_range=(500, 600))
    spots = spots.select(np.arange(300))
    noise = spots.view()
    noise["xyzobs.px.value"] = np.random.default_rng(1).uniform(0, (1000, 1000, 20), (len(spots), 3))
    with pytest.raises(BeamPositionError, match=r"make a lattice|no three lattice vectors"):
        search(sweeps, [noise])
    with pytest.raises(BeamPositionError, match=r"make a lattice|no three lattice vectors"):
        search(sweeps, [spots], max_cell=10, mm_search_scope=0.1)


@pytest.mark.parametrize("binning", [2, 100])
def test_no_shift_beyond_the_scope_is_taken(binning):
    """The true shift is 0.4 mm along one axis and 0.2 along the other."""
    sweeps, spots = misplaced((2.0, 1.0), n_images=20)
    with pytest.raises(BeamPositionError, match=r"best is 0\.\d+ mm away.*beyond mm_search_scope=0.3. Give"):
        search(sweeps, [spots], mm_search_scope=0.3, wide_search_binning=binning)
    found = search(sweeps, [spots], mm_search_scope=0.45, wide_search_binning=binning)
    np.testing.assert_allclose(centre(found.experiments), TRUE_CENTRE, atol=0.05)


@pytest.mark.parametrize("name", ["mm_search_scope", "wide_search_binning"])
def test_a_search_of_no_width_is_refused(name):
    sweeps, spots = misplaced((1.0, 0.0), n_images=2)
    with pytest.raises(ParameterError, match=name):
        search(sweeps, [spots], **{name: 0})


def test_missing_input_ends_in_words():
    sweeps, _ = misplaced((1.0, 0.0), n_images=2)
    with pytest.raises(UserError, match=r"no spots were given.*method=midpoint"):
        search(sweeps)
    with pytest.raises(UserError, match="no experiments"):
        search(Experiments())
    with pytest.raises(UserError, match="no images"):
        search(None, method="midpoint")
    with pytest.raises(ParameterError, match="looks at spots"):
        search(sweeps, projection__method_x="midpoint")


# -- images


@pytest.mark.parametrize(("method", "tolerance"), [("inversion", 0.2), ("midpoint", 3.0)])
def test_the_centre_of_images_is_found(images, method, tolerance):
    result = search(images, method=method)
    np.testing.assert_allclose(centre(result.experiments), (312.4, 208.7), atol=tolerance)
    np.testing.assert_allclose(result.summary["detectors"][0]["old_px"], (300, 215), atol=1e-6)


def test_the_stopped_beam_is_not_the_brightest_place(images):
    with pytest.raises(BeamPositionError, match="nothing stands out"):
        search(images, method="maximum")


def test_a_guess_is_refused_in_words(tmp_path):
    noise = np.random.default_rng(2).poisson(3.0, (300, 300)).astype(np.int32)
    noise[:, 140:160] += 30  # something to see along x, nothing along y
    path = write_mini_cbf(tmp_path / "n_0001.cbf", noise)
    with pytest.raises(
        BeamPositionError, match=r"guess: along slow midpoint finds .*quality 0\.\d+ \(at most 15 px.*Try"
    ):
        spindle.run("search_beam_position", files=[path], method="midpoint")
    with pytest.raises(BeamPositionError, match="no centre is found on any of 1 images"):
        spindle.run("search_beam_position", files=[path], method="midpoint", **{"projection.per_image": True})


def test_a_poor_centre_is_called_poor(tmp_path, caplog):
    faint = 3.0 + faint_spot((300, 300), (150.0, 140.0))
    image = np.random.default_rng(2).poisson(faint).astype(np.int32)
    path = write_mini_cbf(tmp_path / "n_0001.cbf", image)
    with caplog.at_level("INFO"):
        result = spindle.run("search_beam_position", files=[path], method="inversion")
    assert "the centre along fast and slow is not much more than a guess" in caplog.text
    np.testing.assert_allclose(centre(result.experiments), (150, 140), atol=8)
    assert result.next_step == "spindle find_spots optimised.expt"
    imported = spindle.run("import", files=[path]).experiments
    assert np.array_equal(centre(search(imported, method="inversion").experiments), centre(result.experiments))


def faint_spot(shape, middle):
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    return 5.5 * np.exp(-((x - middle[0]) ** 2 + (y - middle[1]) ** 2) / (2 * 40.0**2))


def test_the_scatter_of_many_images_counts_instead_of_the_quality_of_each(tmp_path):
    rng, paths = np.random.default_rng(2), []
    for number in range(1, 5):
        image = rng.poisson(3.0 + 0.7 * faint_spot((300, 300), (150.0, 140.0))).astype(np.int32)
        paths.append(write_mini_cbf(tmp_path / f"n_{number:04d}.cbf", image))
    with pytest.raises(BeamPositionError, match="no more than a guess"):
        spindle.run("search_beam_position", files=paths[:1], method="inversion")
    result = spindle.run("search_beam_position", files=paths, method="inversion", **{"projection.per_image": True})
    np.testing.assert_allclose(centre(result.experiments), (150, 140), atol=8)
    assert max(result.summary["detectors"][0]["uncertainty_px"]) > 0.5


def test_a_detector_with_a_guess_only_stays_while_others_move(images, tmp_path, caplog):
    noise = np.random.default_rng(2).poisson(3.0, (300, 300)).astype(np.int32)
    blank = spindle.run("import", files=[write_mini_cbf(tmp_path / "n_0001.cbf", noise)]).experiments
    result = search(Experiments([*images, *blank]), method="midpoint")
    assert "this detector is left where it is. Detector of sweep 5: search_beam_position: the centre" in caplog.text
    assert np.array_equal(centre(result.experiments, 5), centre(blank))
    np.testing.assert_allclose(centre(result.experiments), (312.4, 208.7), atol=3)


def test_the_beam_is_not_looked_for_on_a_panel_far_from_it(images):
    panel = images[0].detector[0]
    swung = Detector([replace(panel, origin=panel.origin + 2000 * panel.pixel_size[0] * panel.fast_axis)])
    with pytest.raises(BeamPositionError, match=r"beam is \d+ pixels beside panel 0.*method=default"):
        search(Experiments([replace(images[0], detector=swung)]), method="inversion")


def test_each_axis_may_have_a_method(images):
    both = search(images, method="inversion", projection__method_y="midpoint")
    found = centre(both.experiments)
    assert found[0] == pytest.approx(centre(search(images, method="inversion").experiments)[0], abs=1e-9)
    assert found[1] == pytest.approx(centre(search(images, method="midpoint").experiments)[1], abs=1e-9)


def test_centres_of_single_images_are_listed(images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = search(images, method="inversion", projection__per_image=True, image_range=(2, 4))
    result.files["beam_positions.json"](tmp_path / "b.json")
    listed = json.loads((tmp_path / "b.json").read_text())["beam_positions"]
    assert [entry["image"] for entry in listed] == [2, 3, 4]
    for entry in listed:
        assert (entry["x"], entry["y"]) == pytest.approx((312.4, 208.7), abs=0.5)
    np.testing.assert_allclose(centre(result.experiments), np.median([[e["x"], e["y"]] for e in listed], axis=0))


def test_pixels_that_are_left_out_do_not_count(images):
    plain = centre(search(images, method="midpoint").experiments)
    without = search(images, method="midpoint", projection__exclude_pixel_range_x=(0, 100)).experiments
    assert not np.array_equal(plain, centre(without))
    with pytest.raises(ParameterError, match="exclude_pixel_range_y=900,950"):
        search(images, method="midpoint", projection__exclude_pixel_range_y=(900, 950))
    with pytest.raises(ParameterError, match="leave out the whole panel"):
        search(images, method="midpoint", projection__exclude_pixel_range_x=(0, 600))
    dim = centre(search(images, method="midpoint", projection__bad_pixel_threshold=40).experiments)
    assert not np.array_equal(plain, dim)
    with pytest.raises(ParameterError, match="there are no such images; the experiments have 1 to 5"):
        search(images, method="midpoint", image_range=(7, 9))


def test_the_page_of_plots_is_complete(images, tmp_path):
    sweeps, spots = misplaced((1.0, 0.0), n_images=20)
    for result in (
        search(sweeps, [spots], plot_search_scope=True),
        search(images, method="inversion", plot_search_scope=True),
    ):
        result.files["beam_search.html"](tmp_path / "page.html")
        page = (tmp_path / "page.html").read_text()
        assert "Plotly.newPlot" in page and page.rstrip().endswith("</html>")


# -- real data


def test_quartz_by_electron_diffraction_is_brought_to_the_refined_centre():
    """DIALS 3.12 ends 0.9 and 6.6 pixels away from what its own refinement finds."""
    folder = shared_data("dials_processed") / "quartz_processed"
    experiments = read_experiments(folder / "imported.expt")
    found = centre(search(experiments, [read_reflections(folder / "strong.refl")]).experiments)
    np.testing.assert_allclose(found, centre(read_experiments(folder / "refined.expt")), atol=0.5)


def test_five_stills_are_brought_to_the_centre_that_their_beamline_refined():
    offset = (10.0, 8.0)
    folder = shared_data("dials_processed") / "ssx_CuNiR_test_data"
    experiments = read_experiments(folder / "imported_with_ref_5.expt")
    refined = centre(experiments)
    detector = experiments[0].detector
    moved = [replace(p, origin=p.origin + 0.172 * np.array([offset[0], offset[1], 0.0])) for p in detector]
    wrong = Experiments([replace(e, detector=Detector(moved)) for e in experiments])
    found = search(wrong, [read_reflections(folder / "strong_5.refl")])
    np.testing.assert_allclose(centre(found.experiments), refined, atol=0.5)
